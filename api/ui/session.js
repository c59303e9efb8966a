// The token of this tab: from the address's fragment, which browsers send to nobody, or typed in.

const TOKEN = "energy-token";
const NOTICE = "energy-notice";

// Takes `#token=…` out of the address, so that it is in no history and no copied link.
export function token() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given !== null) {
    history.replaceState(null, "", location.pathname + location.search);
    keep(given);
  }
  return sessionStorage.getItem(TOKEN);
}

export function keep(token) {
  sessionStorage.setItem(TOKEN, token.trim());
}

// Loading again is the surest way to show nothing of what was seen with the token.
export function forget(notice) {
  sessionStorage.removeItem(TOKEN);
  if (notice) sessionStorage.setItem(NOTICE, notice);
  location.reload();
}

export function takeNotice() {
  const notice = sessionStorage.getItem(NOTICE) ?? "";
  sessionStorage.removeItem(NOTICE);
  return notice;
}
