// Places by total.

import { compare, grouped } from "./decimals.js";
import { fill, placeName, plural, setText } from "./dom.js";

const MOST = 200;
const section = document.getElementById("places");

export const largestFirst = (rows) => rows.toSorted(
  (a, b) => compare(b.total_energy_consumed_exact, a.total_energy_consumed_exact),
);

export function showPlaces(rows, problem) {
  section.querySelector("table").hidden = rows === null;
  const more = rows && rows.length > MOST ? `The ${MOST} largest of ${grouped(rows.length)}.` : "";
  setText(section.querySelector(".hint"), problem || more);
  fill(section.querySelector("tbody"), (rows ?? []).slice(0, MOST).map((row) => [
    placeName(row.location),
    {
      text: grouped(row.total_energy_consumed_exact),
      note: `${plural(row.readings, "reading")}, ${plural(row.devices, "device")}`,
    },
  ]));
}
