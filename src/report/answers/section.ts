/** The report's section on the answer table; empty for a run without one. */
import { escapeHtml } from "../html.ts";
import { section } from "../page.ts";
import type { RunData } from "../read-run.ts";
import { allFrames, type Frame, keyFrames } from "./frames.ts";
import { explanation, frameHtml, legend } from "./table-html.ts";

/** Frames named by what happened at them; where scripts run, a slider through all. */
export function answersSection(run: RunData): string {
  const frames = keyFrames(run);
  if (frames.length === 0) return "";
  return section(
    "The answers, question by question",
    [
      `<p>${escapeHtml(explanation(run))}</p>`,
      legend(),
      `<div class="strip">\n${frames.map((frame) => frameHtml(frame)).join("\n")}\n</div>`,
      player(allFrames(run)),
    ].join("\n"),
  );
}

function player(frames: Frame[]): string {
  if (frames.length < 2) return "";
  return `<div class="player" hidden>
<label>Through training <input type="range" min="0" max="${frames.length - 1}" value="0" step="1"></label>
${frames.map((frame) => frameHtml(frame)).join("\n")}
</div>`;
}

/** Shows the frame that the slider is at. */
export const PLAYER_SCRIPT = `for (const player of document.querySelectorAll(".player")) {
  const frames = player.querySelectorAll(".frame");
  const slider = player.querySelector("input");
  const show = () => frames.forEach((frame, i) => { frame.hidden = i !== Number(slider.value); });
  slider.addEventListener("input", show);
  show();
  player.hidden = false;
}`;
