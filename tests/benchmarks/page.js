// What tests.benchmarks.page asks of a page, written into it before it begins. Times are of the
// page's own clock; a frame counts once it is painted, which is before the next message is taken.

window.probe = (() => {
  const text = (selector) => document.querySelector(selector)?.textContent ?? "";
  const count = (selector) => document.querySelectorAll(selector).length;
  const painted = () => new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => done(performance.now());
    port2.postMessage(null);
  });

  // Resolves with the time at which the first frame in which `isSo()` is painted.
  const when = (isSo) => new Promise((done) => {
    const look = () => (isSo() ? painted().then(done) : requestAnimationFrame(look));
    requestAnimationFrame(look);
  });

  const shown = {
    total: () => /\d/.test(text("#fleet .grand")),
    devices: () => count("#devices tbody tr") >= 15,
    places: () => count("#places tbody tr") > 0,
    chart: () => Number(document.querySelector("#fleet-consumption .chart")?.dataset.buckets) > 0,
    device: () => !document.querySelector("#device").hidden && /\d/.test(text("#device .grand")),
  };

  // What the field asks for is all that is listed: names, and then their totals.
  const named = () => {
    const wanted = document.querySelector("#devices input").value.toLowerCase();
    const names = [...document.querySelectorAll("#devices tbody th")].map((each) => each.textContent);
    const said = text("#devices .hint");
    return wanted !== "" && names.every((each) => each.toLowerCase().includes(wanted))
      && (/^The first/.test(said) || said === `${names.length} found.`);
  };
  const totalled = () => named() && [...document.querySelectorAll("#devices tbody td")]
    .every((each) => /\d/.test(each.textContent));

  let key = null;
  addEventListener("keydown", (event) => {
    if (event.target.type !== "search") return;
    const at = event.timeStamp;
    const since = (moment) => moment - at;
    key = Promise.all([when(named).then(since), when(totalled).then(since)]);
  }, true);
  let click = null;
  addEventListener("click", (event) => {
    const at = event.timeStamp;
    if (!event.target.matches("#devices a")) return;
    const wanted = event.target.textContent;
    const isOpen = () => text("#device-title") === wanted && shown.device();
    click = when(isOpen).then((moment) => moment - at);
  }, true);

  const first = Object.fromEntries(
    ["total", "devices", "places", "chart"].map((name) => [name, when(shown[name])]),
  );
  let longest = 0;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) longest = Math.max(longest, task.duration);
  }).observe({ type: "longtask", buffered: true });

  return {
    when,
    named,
    text,
    first: async () => Object.fromEntries(
      await Promise.all(Object.entries(first).map(async ([name, at]) => [name, await at])),
    ),
    key: () => key,
    click: () => click,
    longestTask: () => {
      const found = longest;
      longest = 0;
      return found;
    },
    // The longest gap between two frames while `work` runs for so many milliseconds.
    frames: (milliseconds) => new Promise((done) => {
      const began = performance.now();
      let last = began;
      let gap = 0;
      const look = (now) => {
        gap = Math.max(gap, now - last);
        last = now;
        if (now - began < milliseconds) requestAnimationFrame(look);
        else done(gap);
      };
      requestAnimationFrame(look);
    }),
  };
})();
