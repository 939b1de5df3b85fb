// Keeps the live regions of a page as the router sees them. Only what changed comes over the wire, and only what
// differs is touched: an opened row stays open, focus and selection stay where they are.
"use strict";
(() => {
  const main = document.querySelector("[data-events]");
  const status = document.querySelector("[data-live]");
  const parser = new DOMParser();
  const KEPT = new Set(["open", "disabled"]); // what a person did, the server does not know
  const SILENCE_MS = 40000;

  function localise(root) {
    for (const place of root.querySelectorAll("[data-origin]")) place.textContent = location.origin;
    if (!/^(localhost|127\.|\[::1)/.test(location.hostname)) // what only this machine can reach is no advice for another
      for (const place of root.querySelectorAll("[data-host]")) place.textContent = location.host;
    for (const time of root.querySelectorAll("time[datetime]")) {
      const when = new Date(time.dateTime);
      if (Number.isNaN(when.getTime())) continue;
      const today = when.toDateString() === new Date().toDateString();
      time.textContent = today
        ? when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" })
        : when.toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
      time.title = when.toLocaleString([], { dateStyle: "full", timeStyle: "long" });
    }
  }

  function morph(old, next) {
    if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName || old.id !== next.id) {
      old.replaceWith(next);
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
      return;
    }
    for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name);
    const mine = [...old.childNodes];
    const theirs = [...next.childNodes];
    theirs.forEach((node, place) => (place < mine.length ? morph(mine[place], node) : old.append(node)));
    mine.slice(theirs.length).forEach((node) => node.remove());
  }

  const inUse = (part) => part.contains(document.activeElement) || part.querySelector(":scope > details[open]");

  function draw(region, { parts = {}, order }) {
    for (const [id, drawn] of Object.entries(parts)) {
      const next = typeof drawn === "string" ? parser.parseFromString(drawn, "text/html").body.firstElementChild : drawn;
      const old = document.getElementById(id);
      localise(next);
      if (old) morph(old, next);
      else region.append(next);
    }
    if (!order) return;
    const wanted = new Set(order);
    for (const part of [...region.children]) if (!wanted.has(part.id) && !inUse(part)) part.remove();
    let place = region.firstElementChild;
    for (const part of order.map((id) => document.getElementById(id))) {
      if (part === place) place = place.nextElementSibling;
      else if (part) region.insertBefore(part, place);
    }
  }

  // While a person reads an opened row, what is new waits behind a button: the row does not move away.
  const held = new Map();
  const reading = (region) => "hold" in region.dataset && region.querySelector("details[open]");

  function tell(region) {
    const button = document.querySelector(`[data-release="${region.id}"]`);
    const fresh = held.get(region)?.order?.filter((id) => !document.getElementById(id)).length ?? 0;
    if (button) Object.assign(button, { hidden: fresh === 0, textContent: `Show ${fresh} new` });
  }

  function release(region) {
    const change = held.get(region);
    held.delete(region);
    if (change) draw(region, change);
    tell(region);
  }

  function apply(regions) {
    for (const [name, change] of Object.entries(regions)) {
      const region = document.getElementById(`region-${name}`);
      if (!region) continue;
      const old = held.get(region);
      if (old || reading(region))
        held.set(region, { parts: { ...old?.parts, ...change.parts }, order: change.order ?? old?.order });
      else draw(region, change);
      if (held.has(region)) tell(region);
    }
  }

  document.addEventListener("click", (event) => {
    const id = event.target.closest("[data-release]")?.dataset.release;
    if (id) release(document.getElementById(id));
  });
  document.addEventListener("toggle", () => { for (const region of [...held.keys()]) if (!reading(region)) release(region); }, true);

  let source, timer, last = main?.dataset.after ?? "";
  const say = (state, word) => Object.assign(status, { textContent: word }).setAttribute("data-live", state);
  const later = (ms, what = open) => { clearTimeout(timer); timer = setTimeout(what, ms); };
  const close = () => { clearTimeout(timer); source?.close(); };

  function open() {
    close();
    source = new EventSource(`${main.dataset.events}?after=${encodeURIComponent(last)}`);
    later(SILENCE_MS);
    source.onopen = () => say("on", "Live");
    source.onmessage = (event) => { last = event.lastEventId; later(SILENCE_MS); apply(JSON.parse(event.data)); };
    source.addEventListener("beat", () => later(SILENCE_MS));
    source.onerror = () => { say("lost", "Reconnecting"); later(source.readyState === EventSource.CLOSED ? 3000 : SILENCE_MS); };
  }

  // A page that is cheap to make is asked for anew: its regions become those of the new one, and nothing else moves.
  const renewed = document.querySelector("[data-renew]");

  async function renew() {
    later(Number(renewed.dataset.renew) * 1000, renew);
    const answer = await fetch(location.href, { cache: "no-store" }).catch(() => null);
    if (!answer?.ok) return say("lost", "Reconnecting");
    const next = parser.parseFromString(await answer.text(), "text/html");
    for (const region of next.querySelectorAll("[id^=region-]")) {
      const parts = Object.fromEntries([...region.children].map((part) => [part.id, part]));
      apply({ [region.id.slice("region-".length)]: { parts, order: Object.keys(parts) } });
    }
    say("on", "Live");
  }

  localise(document);
  if (renewed) {
    const wake = () => (document.hidden ? (clearTimeout(timer), say("off", "Paused")) : renew());
    document.addEventListener("visibilitychange", wake);
    later(Number(renewed.dataset.renew) * 1000, renew);
    say(document.hidden ? "off" : "on", document.hidden ? "Paused" : "Live");
  }
  document.addEventListener("herd:new", (event) => localise(event.target)); // a part that a page's own script brought
  if (!main) return;
  document.addEventListener("visibilitychange", () => (document.hidden ? (close(), say("off", "Paused")) : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => event.persisted && open());
  if (!document.hidden) open();
})();
