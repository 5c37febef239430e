// Keeps the page current: when the ledger changes (and once a minute, for the ages), fetches it again and swaps <main>.

const GAP = 2_000; // between two fetches, milliseconds
const MINUTE = 60_000;
const RECONNECT = 15_000; // after the server closed or refused the stream

const status = document.getElementById("live");
let wanted = false;
let busy = false;
let last = Date.now();

function show(state, text) {
  if (status.dataset.state !== state) {
    status.dataset.state = state;
    status.textContent = text;
  }
}

async function refresh() {
  const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("main");
  const old = document.querySelector("main");
  if (!fresh || !old) return;
  const style = (from) => from.querySelector("link[rel=stylesheet]")?.getAttribute("href");
  if (style(page) !== style(document)) return location.reload(); // another version serves now
  for (const open of old.querySelectorAll("details[open][id]")) {
    const twin = fresh.querySelector(`#${CSS.escape(open.id)}`);
    if (twin) {
      twin.open = true;
      const [from, to] = [open.querySelector(".scroll"), twin.querySelector(".scroll")];
      if (from && to) requestAnimationFrame(() => (to.scrollTop = from.scrollTop));
    }
  }
  const { scrollX, scrollY } = window;
  const focused = old.contains(document.activeElement) && document.activeElement.closest("details[id]")?.id;
  document.title = page.title;
  old.replaceWith(document.adoptNode(fresh));
  if (focused) document.getElementById(focused)?.querySelector("summary")?.focus({ preventScroll: true });
  window.scrollTo(scrollX, scrollY);
}

// A reader who selects text or looks at a chart's figures is not disturbed.
function reading() {
  return !getSelection().isCollapsed || document.querySelector(".place:hover") !== null;
}

async function tick() {
  const now = Date.now();
  const due = wanted ? now - last >= GAP : now - last >= MINUTE;
  if (!due || busy || document.hidden || reading()) return;
  busy = true;
  wanted = false;
  try {
    await refresh();
  } catch {
    wanted = true;
  }
  last = Date.now();
  busy = false;
}

function listen() {
  const events = new EventSource("/events");
  events.addEventListener("open", () => {
    show("on", "Live");
    wanted = true; // whatever changed while nobody listened
  });
  events.addEventListener("changed", () => (wanted = true));
  events.addEventListener("error", () => {
    show("lost", "Connection lost, trying again");
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, RECONNECT);
  });
}

setInterval(tick, 500);
listen();
