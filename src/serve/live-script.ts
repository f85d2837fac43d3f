/** What a live page loads: it takes the newest report in when the run has changed, and keeps what the reader has chosen. */
import { PLAYER_SCRIPT } from "../report/answers/section.ts";

export const LIVE_SCRIPT = `"use strict";
let shown = null;
let busy = false;
let wanted = null;
async function update() {
  if (busy) return;
  busy = true;
  try {
    while (wanted !== shown) {
      const version = wanted;
      const response = await fetch(location.href);
      if (!response.ok) break;
      const next = new DOMParser().parseFromString(await response.text(), "text/html");
      const axis = document.querySelector("input[name=axis]:checked");
      const open = [...document.querySelectorAll("details")].map((each) => each.open);
      for (const part of ["main", "header"]) {
        const [now, then] = [document.querySelector(part), next.querySelector(part)];
        if (now && then) now.replaceWith(document.adoptNode(then));
      }
      document.title = next.title;
      const same = axis && document.getElementById(axis.id);
      if (same) same.checked = true;
      document.querySelectorAll("details").forEach((each, i) => { each.open = open[i] ?? false; });
      players();
      shown = version;
    }
  } catch {
    // The server is away; the next message asks again.
  } finally {
    busy = false;
  }
}
function players() {
${PLAYER_SCRIPT}
}
const events = new EventSource("events");
events.onmessage = ({ data }) => {
  wanted = data;
  if (shown === null) shown = wanted;
  else update();
};
`;
