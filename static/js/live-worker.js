// Shared by every open page of the browser: one stream of events, however many tabs there are.
// (Browsers allow six HTTP/1.1 connections to a server; a stream per tab would block the seventh.)

const pages = new Map(); // port -> Set of topics
let source = null;
let streamUrl = "";
let listening = new Set();
let position = "";

const isBefore = (a, b) => {
  const [aTime, aCount] = a.split("-").map(Number);
  const [bTime, bCount] = b.split("-").map(Number);
  return aTime < bTime || (aTime === bTime && (aCount || 0) < (bCount || 0));
};

const tell = (port, message) => {
  port.postMessage(message);
};

const open = () => {
  source?.close();
  listening = new Set([...pages.values()].flatMap((topics) => [...topics]));
  if (!listening.size) {
    source = null;
    return;
  }
  const query = new URLSearchParams({ topics: [...listening].join(" "), after: position });
  source = new EventSource(`${streamUrl}?${query}`);
  const mine = source;
  mine.onmessage = (event) => {
    if (event.lastEventId) position = event.lastEventId;
    const message = JSON.parse(event.data);
    for (const [port, topics] of pages) {
      if (message.topics.some((topic) => topics.has(topic))) tell(port, message);
    }
  };
  mine.addEventListener("reset", () => {
    for (const port of pages.keys()) tell(port, { reset: true });
  });
  mine.onerror = () => {
    // The browser connects again by itself, but not after a refusal (the session ended, say).
    if (mine.readyState === EventSource.CLOSED && mine === source) setTimeout(open, 5000);
  };
};

self.onconnect = (connected) => {
  const port = connected.ports[0];
  port.onmessage = ({ data }) => {
    if (data.bye) {
      // The stream stays as it is: topics nobody listens to any more go with the next opening.
      pages.delete(port);
      if (!pages.size) open();
      return;
    }
    streamUrl = data.url;
    pages.set(port, new Set(data.topics));
    const isNew = data.topics.some((topic) => !listening.has(topic));
    const isLate = !position || isBefore(data.after, position);
    // A page that was rendered before the newest event must hear what it missed; hearing twice does no harm.
    if (isLate) position = data.after;
    if (isNew || isLate || !source) open();
  };
};
