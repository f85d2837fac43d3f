/** What a live page loads: it takes the newest report in when the run has changed, and keeps what the reader has chosen. */
import { PLAYER_SCRIPT } from "../report/answers/section.ts";

export const LIVE_SCRIPT = `"use strict";
const LATER_MS = 3000;
let shown = null;
let busy = false;
let wanted = null;
let again;
async function update() {
  if (busy) return;
  busy = true;
  try {
    while (wanted !== shown) {
      const version = wanted;
      const response = await fetch(location.href);
      if (!response.ok) break;
      const next = new DOMParser().parseFromString(await response.text(), "text/html");
      shown = version;
      // Another run has taken the address over.
      if (next.title !== document.title) continue;
      const axis = document.querySelector("input[name=axis]:checked");
      const open = [...document.querySelectorAll("details")].map((each) => each.open);
      for (const part of ["main", "header"]) {
        const [now, then] = [document.querySelector(part), next.querySelector(part)];
        if (now && then) now.replaceWith(document.adoptNode(then));
      }
      const same = axis && document.getElementById(axis.id);
      if (same) same.checked = true;
      document.querySelectorAll("details").forEach((each, i) => { each.open = open[i] ?? false; });
      players();
    }
  } catch {
    // The server is away.
  } finally {
    busy = false;
    clearTimeout(again);
    if (wanted !== shown) again = setTimeout(update, LATER_MS);
  }
}
function players() {
${PLAYER_SCRIPT}
}
function follow() {
  const events = new EventSource("events");
  events.onmessage = ({ data }) => {
    wanted = data;
    if (shown === null) shown = wanted;
    else update();
  };
  // A browser comes back by itself to a server that was away, but not to one that refused it.
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, LATER_MS);
  };
}
follow();
`;
