// Questions to the API. Addresses are relative to the page's, so that a path prefix does not matter;
// the token goes into a header, so that it is in no address.

import { forget, token } from "./session.js";

const BASE = new URL("../", import.meta.url);
const DOCUMENT = "v0/pipes/openapi.json";

// What the server answered in place of what was asked for; the message is for people.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function ask(path, options) {
  const headers = { Authorization: `Bearer ${token()}`, ...options.headers };
  return fetch(new URL(path, BASE), { ...options, headers, cache: "no-cache" });
}

export async function isTokenValid() {
  return (await ask(DOCUMENT, { method: "HEAD" })).status !== 403;
}

// `parameters`: name -> value or list of values; null is left out.
export function pipe(name, parameters = {}, options = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    for (const each of [value ?? []].flat()) query.append(key, each);
  }
  return open(`v0/pipes/energy_consumption_${name}?${query}`, options);
}

export async function rows(name, parameters, options) {
  return (await (await pipe(`${name}.json`, parameters, options)).json()).data;
}

// An answer's lines as they come, some at a time: it may be of a million.
export async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    const some = (rest + (value ?? "")).split("\n");
    rest = done ? "" : some.pop();
    yield some;
    if (done) return;
  }
}

export async function open(path, options = {}) {
  let answer;
  try {
    answer = await ask(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The server cannot be reached.");
  }
  if (answer.ok) return answer;
  if (answer.status === 403 && !(await isTokenValid().catch(() => true))) {
    forget("The server does not take this token: it is wrong, revoked or expired.");
  }
  const text = await answer.json().then((body) => body.error, () => answer.statusText);
  throw new Refused(answer.status, text || `The server answered ${answer.status}.`);
}
