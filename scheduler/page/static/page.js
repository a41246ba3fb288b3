// Keeps a page as it is on the server: asks again every few seconds while it is looked at, and puts in place what has
// changed. Everything works without it.
"use strict";

const EVERY_MS = 4000;
const MOST_MS = 60000;
const tools = document.getElementById("tools");
const live = document.getElementById("live");
const zone = document.getElementById("zone");
const heard = document.getElementById("heard");
const announce = document.getElementById("announce");
let pause = EVERY_MS;
let timer = 0;

function remembered(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

function remember(name, value) {
  try { localStorage.setItem(name, value); } catch { /* a browser that keeps nothing */ }
}

function two(number) {
  return String(number).padStart(2, "0");
}

const FORMS = {
  day: (t) => `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())}`,
  clock: (t) => `${two(t.getHours())}:${two(t.getMinutes())}`,
  minute: (t) => `${FORMS.day(t)} ${FORMS.clock(t)}`,
  second: (t) => `${FORMS.minute(t)}:${two(t.getSeconds())}`,
};

// days of the plots are days of UTC, and stay so
function showTimes(within) {
  const local = zone.getAttribute("aria-pressed") === "true";
  for (const each of within.querySelectorAll("time[datetime]")) {
    if (each.dataset.form === "day") continue;
    each.dataset.utc ??= each.textContent;
    const form = FORMS[each.dataset.form];
    each.textContent = local && form ? form(new Date(each.getAttribute("datetime"))) : each.dataset.utc;
    each.title = local ? `${each.dataset.utc} UTC` : `${FORMS.second(new Date(each.getAttribute("datetime")))} local time`;
  }
}

function keptOf(region) {
  const active = region.contains(document.activeElement) ? document.activeElement : null;
  return {
    marked: new Set([...region.querySelectorAll("input:checked")].map((box) => box.value)),
    open: new Set([...region.querySelectorAll("details")].map((d, i) => (d.open ? i : -1))),
    left: region.scrollLeft,
    inner: [...region.querySelectorAll(".scroll")].map((each) => each.scrollLeft),
    focus: active && (active.getAttribute("href") ?? active.getAttribute("value") ?? active.getAttribute("aria-label")),
    self: active === region,
  };
}

function giveBack(region, kept) {
  for (const box of region.querySelectorAll("input[type=checkbox]")) box.checked = kept.marked.has(box.value);
  region.querySelectorAll("details").forEach((each, i) => { each.open = kept.open.has(i); });
  region.querySelectorAll(".scroll").forEach((each, i) => { each.scrollLeft = kept.inner[i] ?? 0; });
  region.scrollLeft = kept.left;
  if (kept.self) region.focus({ preventScroll: true });
  else if (kept.focus) {
    const same = [...region.querySelectorAll("a, input, summary, [tabindex]")].find(
      (each) => [each.getAttribute("href"), each.getAttribute("value"), each.getAttribute("aria-label")].includes(kept.focus));
    same?.focus({ preventScroll: true });
  }
}

function markNew(before, after) {
  const old = new Map([...before.querySelectorAll("tr[data-key]")].map((row) => [row.dataset.key, row.textContent]));
  for (const row of after.querySelectorAll("tr[data-key]")) {
    if (old.has(row.dataset.key) && old.get(row.dataset.key) !== row.textContent) row.classList.add("fresh");
  }
}

const shown = new Map();

function take(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const said = [];
  for (const region of document.querySelectorAll("[data-live][id]")) {
    const other = fresh.getElementById(region.id);
    if (!other || shown.get(region.id) === other.outerHTML) continue;
    shown.set(region.id, other.outerHTML);
    const next = document.importNode(other, true);
    markNew(region, next);
    const kept = keptOf(region);
    if (region.hasAttribute("data-announce") && region.dataset.said !== next.textContent) said.push(next.textContent);
    showTimes(next);
    region.replaceWith(next);
    next.dataset.said = other.textContent;
    giveBack(next, kept);
  }
  if (said.length) announce.textContent = said.join(". ").replace(/\s+/g, " ").trim();
}

async function look() {
  try {
    const answer = await fetch(location.href, { cache: "no-cache", credentials: "same-origin", redirect: "error" });
    if (!answer.ok) throw new Error(String(answer.status));
    take(await answer.text());
    heard.textContent = "";
    pause = EVERY_MS;
  } catch {
    pause = Math.min(pause * 2, MOST_MS);
    heard.textContent = "The scheduler does not answer; what is shown may be old.";
  }
  plan();
}

function plan() {
  clearTimeout(timer);
  if (live.getAttribute("aria-pressed") === "true" && !document.hidden) {
    timer = setTimeout(look, pause * (0.9 + 0.2 * Math.random()));
  }
}

function toggle(button, name, then) {
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  remember(name, String(on));
  then();
}

live.setAttribute("aria-pressed", String(remembered("live") !== "false"));
zone.setAttribute("aria-pressed", String(remembered("local") === "true"));
live.addEventListener("click", () => toggle(live, "live", plan));
zone.addEventListener("click", () => toggle(zone, "local", () => showTimes(document)));
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : look()));
for (const region of document.querySelectorAll("[data-live][id]")) {
  shown.set(region.id, region.outerHTML);
  region.dataset.said = region.textContent;
}
tools.hidden = false;
showTimes(document);
plan();
