// The newest quarantined records, each with its reasons and, opened, the bytes as received.

import { rows } from "./api.js";
import { element, repeat, setText, told } from "./dom.js";

const NEWEST = 20;
const MOST_CHARACTERS = 4000;
const FIELD_CHARACTERS = 300;
const section = document.getElementById("quarantine");
const list = section.querySelector("ol");

const cut = (text, most) => (text.length > most ? `${text.slice(0, most)}…` : text);

function origin(row) {
  if (row.__topic !== null) return `${row.__topic}, partition ${row.__partition}, offset ${row.__offset}`;
  return row.c__import_id === null ? "refused on the way in" : `import ${row.c__import_id}`;
}

function item(row) {
  const made = element("li");
  row.c__error.forEach((reason, index) => {
    const line = made.appendChild(element("p", "", "reason"));
    const column = row.c__error_column[index];
    if (column) line.append(element("strong", column), ": ");
    line.append(reason);
  });
  made.append(element("p", `${row.insertion_date} UTC, ${origin(row)}`, "hint"));
  const fields = made.appendChild(element("dl", "", "fields"));
  for (const name of ["device_id", "location", "energy_consumed", "timestamp"]) {
    if (row[name] === null) continue;
    const pair = fields.appendChild(element("div"));
    pair.append(element("dt", name), element("dd", cut(row[name], FIELD_CHARACTERS), "name"));
  }
  const value = row.__value ?? row.__value_base64;
  if (value !== null && value !== undefined) {
    const details = made.appendChild(element("details"));
    details.append(element("summary", row.__value === null ? "As received, in base64" : "As received"));
    details.append(element("pre", cut(value, MOST_CHARACTERS)));
  }
  return made;
}

export function watchQuarantine(isShown) {
  let shown = "";
  repeat(10, isShown, () => told(section, async () => {
    const found = await rows("quarantine", { limit: NEWEST });
    const text = JSON.stringify(found);
    // What is being read stays.
    if (text === shown || list.querySelector("details[open]") || list.matches(":focus-within")) return;
    shown = text;
    list.replaceChildren(...found.map(item));
    setText(section.querySelector(".hint"), found.length
      ? "The newest records that could not be counted, and why." : "Nothing is in the quarantine.");
  }));
}
