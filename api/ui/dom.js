// What is shown goes into the document as text: names come from anyone, and are never HTML.

import { grouped } from "./decimals.js";

export const EMPTY_PLACE = "(no place)";
export const placeName = (location) => location || EMPTY_PLACE;
export const deviceLink = (id) => `#device=${encodeURIComponent(id)}`;

export function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

export function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Writes `{total: "1"}` to what has `data-show="total"` inside.
export function show(inside, values) {
  for (const [name, value] of Object.entries(values)) {
    setText(inside.querySelector(`[data-show="${name}"]`), value);
  }
}

export const plural = (count, what) => `${grouped(count)} ${what}${count === 1 ? "" : "s"}`;

// Lists of cells -> rows of a table. Rows stay and get other texts, so that focus stays too. The
// first cell names the row. A cell is a text, a link `{text, href}`, or has a note `{text, note}`.
export function fill(body, rows) {
  rows.forEach((cells, place) => {
    const row = body.rows[place] ?? body.insertRow();
    cells.forEach((cell, column) => {
      let target = row.cells[column];
      if (!target) {
        target = row.appendChild(document.createElement(column ? "td" : "th"));
        if (column) target.className = "number";
        else Object.assign(target, { scope: "row", className: "name" });
      }
      if (cell.text === undefined) return setText(target, cell);
      const [text, note] = target.children.length ? target.children : [
        element(cell.href ? "a" : "span"), element("small"),
      ].map((each) => target.appendChild(each));
      if (cell.href && text.getAttribute("href") !== cell.href) text.href = cell.href;
      setText(text, cell.text);
      setText(note, cell.note ?? "");
    });
  });
  while (body.rows.length > rows.length) body.deleteRow(-1);
}

// Runs `work`, and says inside why it failed, if it did.
export async function told(inside, work) {
  const problem = inside.querySelector(".problem");
  try {
    await work();
    problem.hidden = true;
  } catch (error) {
    if (error.name === "AbortError") return;
    setText(problem, error.message);
    problem.hidden = false;
  }
}

// Calls `work` now and again, `seconds` apart or five times as long as it takes, while the tab is
// seen and `isShown()`. Returns what calls it at once, or again where it is at work.
export function repeat(seconds, isShown, work) {
  let timer;
  let isWorking = false;
  let isWanted = false;
  const next = async () => {
    if (isWorking) {
      isWanted = true;
      return;
    }
    clearTimeout(timer);
    const began = performance.now();
    isWorking = true;
    if (!document.hidden && isShown()) await work();
    isWorking = false;
    timer = setTimeout(next, isWanted ? 0 : Math.max(seconds * 1000, 5 * (performance.now() - began)));
    isWanted = false;
  };
  next();
  return next;
}
