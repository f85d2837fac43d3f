/** The report's section on the answer table; empty for a run without one. */

import { formatShare, formatStep } from "../format.ts";
import { escapeHtml } from "../html.ts";
import { section } from "../page.ts";
import type { RunData } from "../read-run.ts";
import { shareColours } from "../theme.ts";
import { blocksOf } from "./blocks.ts";
import { allFrames, type Frame, keyFrames } from "./frames.ts";
import { heatMap, STRENGTHS } from "./heat-map.ts";

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

function explanation({ config: { task, evaluation, ensemble }, answers: [first] }: RunData): string {
  const { variables, promptPool } = task;
  const sampling = (evaluation.posteriorSamples ?? 0) > 0;
  const query = variables === 1 ? "the value of x asked" : "the direction of the inputs asked";
  const sampled = first.tasks.length * first.inputs.length;
  const context = `${task.examples - 1} ${task.examples === 2 ? "example" : "examples"}`;
  return [
    `Each cell is one question (${formatStep(sampled)} in all): ${context} of a task, then a new input. A row is a task, a column ${query}.`,
    ...(promptPool === 0
      ? ["Questions on unseen tasks never occur in training."]
      : [
          "Fresh questions have other examples than those trained on; a cell without one in the pool is empty.",
        ]),
    ...(ensemble.bootstrap
      ? ["What members train on differs: a question counts as trained if any of them may have it."]
      : []),
    ...(sampling ? ["Members answer with the mean of their weights."] : []),
    ...(first.seenInputs < first.inputs.length
      ? ["Right of the gap: inputs that never occur in training."]
      : []),
  ].join(" ");
}

function legend(): string {
  const swatches = (styles: string[]) =>
    styles.map((style) => `<i style="background:${style}"></i>`).join("");
  const strong = shareColours[shareColours.length - 1];
  const strengths = STRENGTHS.map(
    (strength) => `color-mix(in srgb,${strong} ${Math.round(100 * strength)}%,transparent)`,
  );
  return `<p class="legend"><span>no member right ${swatches(shareColours)} all right</span> <span>unsure ${swatches(strengths)} sure</span></p>`;
}

function frameHtml({ record, name }: Frame): string {
  const title = name === "" ? "" : `<b>${escapeHtml(name)}</b> `;
  const blocks = blocksOf(record).map((block) => {
    const share = formatShare(block.right);
    const description = escapeHtml(`${block.label} at step ${record.step}: ${share} right`);
    return `<div><p><span>${escapeHtml(block.label)}</span> <b>${share}</b></p>${heatMap(block, record.seenInputs, description)}</div>`;
  });
  return `<figure class="frame"><figcaption>${title}step ${formatStep(record.step)}</figcaption>\n<div class="blocks">${blocks.join("\n")}</div></figure>`;
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
