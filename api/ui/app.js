// The page put together: a token first, then the overview or one device, by the address's fragment.

import { consumption } from "./consumption.js";
import { TOP, update } from "./devices.js";
import { watchDevice } from "./device.js";
import { setText } from "./dom.js";
import { showProgress, watchFleet } from "./fleet.js";
import { largestFirst, showPlaces } from "./places.js";
import { watchQuarantine } from "./quarantine.js";
import { forget, keep, takeNotice, token } from "./session.js";
import { follow } from "./stream.js";

const PLACES_OFFERED = 200;
const [main, overview, device, signIn, connection, forgetting] = [
  "main", "overview", "device", "sign-in", "connection", "forget",
].map((id) => document.getElementById(id));
const asked = () => new URLSearchParams(location.hash.slice(1)).get("device");
const isOverview = () => asked() === null;

function say(state) {
  setText(connection, state === "live" ? "Live" : `Not live: ${state}`);
  connection.dataset.state = state === "live" ? "live" : "waiting";
}

function start() {
  forgetting.hidden = false;
  const showDevice = watchDevice();
  const route = () => {
    const id = asked();
    overview.hidden = id !== null;
    device.hidden = id === null;
    document.title = id === null ? "Energy totals" : `${id} – Energy totals`;
    showDevice(id);
  };
  window.addEventListener("hashchange", () => {
    route();
    if (isOverview()) main.focus();
  });
  route();

  // What is asked for first, and then what is drawn.
  const seriesMayBeBack = watchFleet(isOverview, (rows, problem) => {
    const sorted = rows && largestFirst(rows);
    showPlaces(sorted, problem);
    series.offer((sorted ?? []).slice(0, PLACES_OFFERED).map((row) => row.location));
  });
  let isNewSnapshot = true;
  const heard = (event, data) => {
    if (event === "progress") return showProgress(data);
    if (event === "snapshot") {
      if (isNewSnapshot) seriesMayBeBack();
      update(data.rows, isNewSnapshot);
      isNewSnapshot = !data.more;
    }
    if (event === "change") update(data.rows, false, data.left);
  };
  const said = (state) => {
    say(state);
    if (state !== "live") isNewSnapshot = true;
  };
  say("connecting");
  const query = `order_by=-total_energy_consumed&limit=${TOP}`;
  follow(`v0/pipes/energy_consumption_by_device/stream?${query}`, heard, said);
  watchQuarantine(isOverview);
  const series = consumption(document.getElementById("fleet-consumption"), isOverview);
  main.addEventListener("focusin", () => {
    const zones = ["UTC", ...Intl.supportedValuesOf("timeZone")];
    document.getElementById("zones").append(...zones.map((zone) => new Option(zone, zone)));
  }, { once: true });
}

// Whether the token is taken shows with what is asked first: api.js forgets one that is not.
function begin() {
  if (token()) return start();
  setText(document.getElementById("notice"), takeNotice());
  signIn.hidden = false;
  document.getElementById("token").focus();
}

signIn.addEventListener("submit", (event) => {
  event.preventDefault();
  keep(document.getElementById("token").value);
  location.reload();
});
forgetting.addEventListener("click", () => forget());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
// A link with another token, opened in this tab.
window.addEventListener("hashchange", () => location.hash.includes("token=") && token() && location.reload());
begin();
