// The ids of all devices, read once for many searches: a key asks for no listing of all.

import { lines, pipe } from "./api.js";

const KEPT_MS = 60_000;

// Ascending; until they are whole, as many as came yet.
export let ids = [];
export let areWhole = false;
let isReading = false;
let readAt = -Infinity;

// Reads them, unless that was lately; calls `came` when there are others.
export async function readIds(came) {
  if (isReading || performance.now() - readAt < KEPT_MS) return;
  isReading = true;
  try {
    const found = [];
    if (!areWhole) ids = found;
    for await (const some of lines(await pipe("by_device.csv"))) {
      // A line for each: no id has a line break in it.
      for (const line of some) if (line) found.push(line.slice(1, line.lastIndexOf('",')).replaceAll('""', '"'));
      if (!areWhole) came();
      // Keys and frames first.
      await new Promise((done) => setTimeout(done));
    }
    [ids, areWhole, readAt] = [found, true, performance.now()];
    came();
  } finally {
    isReading = false;
  }
}
