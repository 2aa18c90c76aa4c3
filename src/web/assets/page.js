// Keeps a page current while it is open. Everything works without it: forms are plain, and a reload shows the same.
"use strict";
(() => {
  const QUIET_MS = 400; // several events at once are one refresh
  const POLL_MS = 10000; // without a stream of events
  const LOG_MS = 1000;
  const main = document.getElementById("main");
  const announce = document.getElementById("announce");
  let timer = 0;
  let isBusy = false;

  // Replaces the parts of the page that have changed, but not the one that the user is in.
  async function refresh() {
    if (isBusy) return;
    isBusy = true;
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!response.ok || response.redirected) return;
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const old of main.querySelectorAll("[data-live]")) {
        const now = fresh.getElementById(old.id);
        if (!now || now.outerHTML === old.outerHTML) continue;
        if (old.contains(document.activeElement)) continue;
        old.replaceWith(document.adoptNode(now));
      }
    } catch {
      // The scheduler is being restarted: the next event or poll tries again.
    } finally {
      isBusy = false;
    }
  }

  function soon(ms) {
    if (timer || document.hidden) return;
    timer = setTimeout(() => {
      timer = 0;
      refresh();
    }, ms);
  }

  function follow() {
    const stream = new EventSource("/api/v1/events");
    const run = main.querySelector("[data-run]");
    const data = (event) => {
      try {
        return JSON.parse(event.data);
      } catch {
        return {};
      }
    };
    stream.addEventListener("run", (event) => {
      const found = data(event);
      announce.textContent = `Run ${found.id} of ${found.job}: ${found.outcome}`;
      soon(QUIET_MS);
    });
    stream.addEventListener("progress", (event) => {
      if (run && String(data(event).run) === run.dataset.run) soon(2 * QUIET_MS);
    });
    for (const name of ["job", "reload", "lagged"]) stream.addEventListener(name, () => soon(QUIET_MS));
    stream.addEventListener("error", () => {
      if (stream.readyState === EventSource.CLOSED) setInterval(() => soon(0), POLL_MS);
    });
    document.addEventListener("visibilitychange", () => soon(0));
  }

  // Appends what is new in the log of a run in progress, as text.
  function followLog(log) {
    let offset = Number(log.dataset.offset);
    let last = 0;
    const look = async () => {
      try {
        const response = await fetch(`${log.dataset.log}?offset=${offset}`);
        if (response.ok) {
          const isAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
          const text = await response.text();
          offset = Number(response.headers.get("x-log-offset")) || offset;
          if (text) log.append(document.createTextNode(text));
          if (text && isAtEnd) log.scrollTop = log.scrollHeight;
        }
      } catch {
        // Tried again below.
      }
      const badge = main.querySelector("#run .badge");
      if (badge && badge.textContent !== "running") last += 1;
      if (last < 3) setTimeout(look, LOG_MS);
    };
    setTimeout(look, LOG_MS);
  }

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
  if (main.querySelector("[data-live]")) follow();
  const log = document.getElementById("log");
  if (log) log.scrollTop = log.scrollHeight;
  if (log && "follow" in log.dataset) followLog(log);
})();
