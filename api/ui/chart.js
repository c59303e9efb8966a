// Bars over time with uPlot, each as wide as its bucket is long: a day may have 23 or 25 hours.

import { grouped, sum } from "./decimals.js";
import { plural, setText } from "./dom.js";

const { uPlot } = window;
const HEIGHT = 260;
const LABEL_PIXELS = 66;
const HOUR = 3600;
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });

// "2025-10-26T00:00:00+02:00" -> "2025-10-26 00:00 +02:00"
export const describe = ({ start }) => `${start.slice(0, 10)} ${start.slice(11, 16)} ${start.slice(19)}`;

export function length({ from, to }) {
  const hours = (to - from) / HOUR;
  if (hours < 1) return `${hours * 60} min`;
  if (hours <= 26) return `${hours} h`;
  return `${Math.floor(hours / 24)} d${hours % 24 ? ` ${hours % 24} h` : ""}`;
}

// Below a bar: a first line, and a second where it changes.
const LABELS = {
  day: (start) => [start.slice(5, 10), start.slice(0, 4)],
  month: (start) => [start.slice(5, 7), start.slice(0, 4)],
  year: (start) => [start.slice(0, 4), ""],
};
LABELS.week = LABELS.day;
const timeLabel = (start) => [start.slice(11, 16), start.slice(5, 10)];

// Draws into `box`, says what the cursor is on in `readout`.
export function chart(box, readout) {
  let buckets = [];
  let label = timeLabel;
  // The bar that the cursor is on, or null.
  let chosen = null;
  const colour = (name) => () => getComputedStyle(box).getPropertyValue(name).trim();
  const middles = () => buckets.map(({ from, to }) => (from + to) / 2);

  function bars(u, series, low, high) {
    const fill = new Path2D();
    const at = (value, scale) => Math.round(u.valToPos(value, scale, true));
    const zero = at(0, "y");
    for (let index = low; index <= high; index += 1) {
      const value = u.data[1][index];
      if (value === null) continue;
      const [left, right, top] = [at(buckets[index].from, "x"), at(buckets[index].to, "x"), at(value, "y")];
      const gap = Math.min(2, Math.floor((right - left) / 4));
      // However small: there is something.
      const height = Math.max(Math.abs(zero - top), value ? 1 : 0);
      fill.rect(left, value < 0 ? zero : zero - height, Math.max(right - left - gap, 1), height);
    }
    return { fill, stroke: null, clip: null };
  }

  // Every so many bars; of parts of days those that cut a day evenly.
  function splits(u) {
    const fitting = Math.max(1, Math.floor(u.bbox.width / devicePixelRatio / LABEL_PIXELS));
    const some = (isWanted) => u.data[0].filter((_, index) => isWanted(buckets[index].start, index));
    const isAt = (start, hours) => start.slice(14, 16) === "00" && start.slice(11, 13) % hours === 0;
    const even = label === timeLabel && buckets.length > fitting && [1, 2, 3, 6, 12, 24]
      .map((hours) => some((start) => isAt(start, hours))).find(({ length }) => length && length <= fitting);
    return even || some((_, index) => index % Math.ceil(buckets.length / fitting) === 0);
  }

  function labels(shown) {
    let before = "";
    return shown.map((at) => {
      const [first, second] = label(buckets[plot.valToIdx(at)].start);
      const line = second === before ? "" : `\n${second}`;
      before = second;
      return first + line;
    });
  }

  // What the cursor is on, or else the sum of all bars.
  function say(index) {
    chosen = index;
    if (!buckets.length) return;
    const some = index === null ? buckets.filter(({ readings }) => readings) : [buckets[index]];
    const readings = some.reduce((all, bucket) => all + bucket.readings, 0);
    const total = sum(some.map((bucket) => bucket.total_energy_consumed_exact ?? "0"));
    const when = index === null ? "In all" : `${describe(buckets[index])}, ${length(buckets[index])}`;
    setText(readout, readings
      ? `${when}: ${grouped(total)} in ${plural(readings, "reading")}` : `${when}: no readings`);
  }

  const axis = { stroke: colour("--muted"), font: "12px system-ui", ticks: { show: false } };
  const plot = new uPlot({
    width: box.clientWidth || 600,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: {
      x: { time: false, range: () => (buckets.length ? [buckets[0].from, buckets.at(-1).to] : [0, 1]) },
      y: { range: (_, low, high) => [Math.min(0, low * 1.05), Math.max(0, high * 1.05) || (low < 0 ? 0 : 1)] },
    },
    series: [{}, { paths: bars, fill: colour("--bar"), width: 0, points: { show: false } }],
    axes: [
      {
        ...axis, size: 42, grid: { show: false }, splits,
        values: (_, shown) => labels(shown),
      },
      {
        ...axis, size: 54, grid: { stroke: colour("--line"), width: 1 },
        values: (_, shown) => shown.map((value) => compact.format(value)),
      },
    ],
    hooks: { setCursor: [({ cursor }) => say(cursor.idx ?? null)] },
  }, [[], []], box);

  function choose(index) {
    if (index !== null) plot.setCursor({ left: plot.valToPos(plot.data[0][index], "x"), top: 1 });
  }

  box.addEventListener("keydown", (event) => {
    const now = chosen ?? -1;
    const moves = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: buckets.length - 1 };
    if (!(event.key in moves) || !buckets.length) return;
    event.preventDefault();
    choose(Math.min(Math.max(moves[event.key], 0), buckets.length - 1));
  });
  new ResizeObserver(() => {
    const kept = chosen;
    if (box.clientWidth) plot.setSize({ width: box.clientWidth, height: HEIGHT });
    choose(kept);
  }).observe(box);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.redraw());

  return {
    draw(made, interval) {
      buckets = made;
      label = LABELS[interval] ?? timeLabel;
      plot.setData([middles(), made.map((bucket) => bucket.total_energy_consumed)]);
      setText(readout, "In all: no readings");
      say(chosen !== null && chosen < made.length ? chosen : null);
      box.dataset.buckets = made.length;
    },
  };
}
