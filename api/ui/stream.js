// The server-sent events of the API, read with fetch: EventSource sends no header, and a token in
// an address would be in logs. Cut off, it says so and comes back by itself.

import { lines, open, Refused } from "./api.js";

const SILENT_SECONDS = 6;
const LONGEST_PAUSE_SECONDS = 10;

// `heard(event, data)` for each event; `said(state)` for people: "live" or what is being done.
export async function follow(path, heard, said) {
  let lastId = null;
  for (let failures = 0; ; failures += 1) {
    let reason = "cut off";
    const abort = new AbortController();
    let silence;
    const notSilent = () => {
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENT_SECONDS * 1000);
    };
    try {
      if (document.hidden) await seen();
      notSilent();
      const headers = { Accept: "text/event-stream", ...(lastId && { "Last-Event-ID": lastId }) };
      const answer = await open(path, { headers, signal: abort.signal });
      for await (const { event, data, id } of events(answer)) {
        notSilent();
        failures = 0;
        lastId = id ?? lastId;
        said("live");
        if (data) heard(event, JSON.parse(data));
        // A browser has six connections for all its tabs: one that nobody sees gives its own back.
        if (document.hidden) break;
      }
      abort.abort();
    } catch (error) {
      if (error instanceof Refused && error.status) reason = error.message;
    }
    clearTimeout(silence);
    if (document.hidden) continue;
    for (let left = Math.min(2 ** failures, LONGEST_PAUSE_SECONDS); left > 0; left -= 1) {
      said(`${reason}, trying again in ${left} s`);
      await new Promise((done) => setTimeout(done, 1000));
    }
    said("connecting");
  }
}

async function* events(answer) {
  let found = { event: "message", data: "" };
  for await (const some of lines(answer)) {
    for (const line of some.map((each) => each.replace(/\r$/, ""))) {
      if (!line) {
        yield found;
        found = { event: "message", data: "" };
        continue;
      }
      const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
      if (name === "data") found.data += value;
      else if (name) found[name] = value;
    }
  }
}

function seen() {
  return new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
}
