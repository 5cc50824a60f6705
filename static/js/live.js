// Keeps [data-live="topic topic"] elements true while the page is open. Events say only what changed:
// numbers are written into the [data-live-field] elements inside, and an element with data-live-refresh
// is asked to fetch itself again (the htmx event "live"), at most once a second.

(() => {
  const REFRESH_MS = 1000;
  const AGE_MS = 60_000;
  const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
  const language = document.documentElement.lang || "en";
  const settings = () => document.body.dataset;

  // Numbers as the server writes them: three digits, decimal units.
  const bytes = (value) => {
    let unit = 0;
    while (value >= 999.5 && unit < UNITS.length - 1) [value, unit] = [value / 1000, unit + 1];
    const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    return `${value.toFixed(digits)} ${UNITS[unit]}`;
  };
  const amount = (value, unit) =>
    unit === "bytes" ? bytes(value) : new Intl.NumberFormat(language, { maximumSignificantDigits: 3 }).format(value);
  const span = (seconds) => {
    const part = (value, unit) =>
      new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 0 }).format(value);
    if (seconds < 60) return part(Math.floor(seconds), "second");
    if (seconds < 3600) return `${part(Math.floor(seconds / 60), "minute")} ${part(Math.floor(seconds % 60), "second")}`;
    return `${part(Math.floor(seconds / 3600), "hour")} ${part(Math.floor((seconds % 3600) / 60), "minute")}`;
  };

  const left = (seconds) => (settings().liveLeft || "%(duration)s").replace("%(duration)s", span(seconds));

  // For pages that send a file themselves: called with what has gone out, it tells how fast and how long still.
  const pace = () => {
    const MEASURE_MS = 500;
    const SMOOTHING = 0.3; // weight of the newest measurement
    let [before, at, rate] = [0, performance.now(), 0];
    return (done, total) => {
      const passed = performance.now() - at;
      if (passed >= MEASURE_MS) {
        const newest = ((done - before) / passed) * 1000;
        rate = rate ? SMOOTHING * newest + (1 - SMOOTHING) * rate : newest;
        [before, at] = [done, at + passed];
      }
      return rate > 0 && done < total ? `, ${bytes(rate)}/s, ${left((total - done) / rate)}` : "";
    };
  };
  window.drydock = { bytes, pace };

  const write = {
    progress(element, data) {
      if (!data.total) return;
      element.max = data.total;
      element.value = data.done || 0;
    },
    done: (element, data) => "done" in data && (element.textContent = amount(data.done, data.unit)),
    total: (element, data) => "total" in data && (element.textContent = amount(data.total, data.unit)),
    rate: (element, data) => "rate" in data && (element.textContent = data.rate > 0 ? `${amount(data.rate, data.unit)}/s` : ""),
    left(element, data) {
      if (!("left" in data)) return;
      element.textContent = data.left === null ? "" : left(data.left);
    },
  };

  const patch = (element, data) => {
    for (const field of element.querySelectorAll("[data-live-field]")) {
      if (field.closest("[data-live]") === element) write[field.dataset.liveField]?.(field, data);
    }
  };

  // At most one refresh a second for each element, the last event always followed by one.
  const last = new Map();
  const waiting = new Set();
  const refresh = (element) => {
    const key = element.id;
    if (!key || waiting.has(key)) return;
    const pause = Math.max(0, (last.get(key) || 0) + REFRESH_MS - Date.now());
    waiting.add(key);
    const go = () => {
      if (document.hidden) return document.addEventListener("visibilitychange", go, { once: true });
      waiting.delete(key);
      last.set(key, Date.now());
      const current = document.getElementById(key);
      if (current) window.htmx?.trigger(current, "live");
    };
    setTimeout(go, pause);
  };

  const topicsOf = (element) => element.dataset.live.split(/\s+/).filter(Boolean);
  const receive = (message) => {
    for (const element of document.querySelectorAll("[data-live]")) {
      const concerned = message.reset || topicsOf(element).some((topic) => message.topics.includes(topic));
      if (!concerned) continue;
      if (message.data) patch(element, message.data);
      if ("liveRefresh" in element.dataset) refresh(element);
    }
  };

  // One stream for the whole browser where shared workers exist; else one for this page while it is visible.
  const shared = () => {
    const worker = new SharedWorker(settings().liveWorker, { name: "drydock-live" });
    worker.port.onmessage = ({ data }) => receive(data);
    addEventListener("pagehide", () => worker.port.postMessage({ bye: true }));
    return (topics, after) => worker.port.postMessage({ url: new URL(settings().liveUrl, location).href, topics, after });
  };
  const alone = () => {
    let source = null;
    let position = "";
    const open = (topics, after) => {
      source?.close();
      const query = new URLSearchParams({ topics: topics.join(" "), after: position || after });
      source = new EventSource(`${settings().liveUrl}?${query}`);
      source.onmessage = (event) => {
        if (event.lastEventId) position = event.lastEventId;
        receive(JSON.parse(event.data));
      };
      source.addEventListener("reset", () => receive({ reset: true }));
      const mine = source;
      source.onerror = () => {
        // The browser connects again by itself, but not after a refusal (a proxy whose server restarts, say).
        if (mine.readyState === EventSource.CLOSED && mine === source) setTimeout(() => mine === source && open(topics, after), 5000);
      };
    };
    document.addEventListener("visibilitychange", () => (document.hidden ? source?.close() : subscribe(true)));
    return open;
  };

  let listen = null;
  let known = "";
  const subscribe = (again = false) => {
    const topics = [...new Set([...document.querySelectorAll("[data-live]")].flatMap(topicsOf))].sort();
    const key = topics.join(" ");
    if (!topics.length || (key === known && !again)) return;
    known = key;
    listen ??= "SharedWorker" in window ? shared() : alone();
    listen(topics, settings().livePosition || "");
  };

  document.addEventListener("DOMContentLoaded", () => subscribe());
  document.addEventListener("htmx:afterSettle", () => subscribe());
  // Ages are the server's words. They grow old where nothing happens too, and more so when the stream is cut.
  setInterval(() => document.querySelectorAll("[data-live-refresh]").forEach(refresh), AGE_MS);
  // A page that comes back from the browser's memory has missed what happened meanwhile.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    subscribe(true);
    receive({ reset: true });
  });
})();
