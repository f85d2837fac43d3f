/** Runs of transformers beside the linear model, as a part of the page. */
import type { Bridge } from "../../analysis/bridge.ts";
import { formatNumber } from "../format.ts";
import { escapeHtml } from "../html.ts";
import { bulletList, htmlTable, section } from "../page.ts";
import type { TextTable } from "../text-table.ts";
import { bridgeFigures, ratioNames } from "./figures/bridge.ts";
import { figuresHtml } from "./figures-html.ts";

export async function bridgeSection(data: Bridge, level: number): Promise<string> {
  return section(
    "Transformer runs beside the linear model: an analogy, not a prediction",
    [
      `<p>${escapeHtml(bridgeSummary(data, level))}</p>`,
      await figuresHtml(bridgeFigures(data, level)),
      htmlTable(bridgeTable(data)),
      bulletList(bridgeGuide),
    ].join("\n"),
  );
}

/** What the comparison comes to, in words. */
export function bridgeSummary({ runs, stepsPerTime, spread }: Bridge, level: number): string {
  const limit = 1 / (1 - level);
  const grokked = runs.filter(({ grokStep }) => grokStep !== null);
  const beyond = grokked.filter(({ lambda }) => lambda > limit).length;
  const single = runs.length === 1;
  const sentences = [outcome(runs.length, grokked.length)];
  if (stepsPerTime === null) {
    const subject = single ? "It has no" : "None has a";
    sentences.push(`${subject} memorisation step, so the model's unit of time cannot be set.`);
  } else {
    const variation = single ? "" : ` (it varies by a factor of ${formatNumber(spread!)} between runs)`;
    sentences.push(
      `One unit of the model's time is ${formatNumber(stepsPerTime)} optimiser steps, fitted on memorisation only${variation}.`,
    );
  }
  if (beyond > 0) {
    const subject = single ? "It" : `${beyond} of those that grokked`;
    const verb = beyond === 1 ? "lies" : "lie";
    sentences.push(
      `${subject} ${verb} at λ above ${formatNumber(limit)}, where the linear model never generalises: there the analogy fails.`,
    );
  }
  return sentences.join(" ");
}

function outcome(runs: number, grokked: number): string {
  if (runs === 1) return `One run, which ${grokked === 1 ? "grokked" : "did not grok"}.`;
  const share = grokked === runs ? "all" : grokked === 0 ? "none" : grokked;
  return `${runs} runs, of which ${share} grokked.`;
}

/** One row per run as text cells. */
export function bridgeTable({ runs, ratio }: Bridge): TextTable {
  const step = (value: number | null) => (value === null ? "–" : String(value).replace("-", "−"));
  const quotient = (value: number | null) => (value === null ? "–" : formatNumber(value));
  return {
    caption: `Measured steps (delay: grok − memorised; lag: collapse − grok), and ratios of times, each followed by that of the linear model (t gen / t train, t U / t gen) at the same λ = ${ratioNames[ratio]}. –: it did not happen.`,
    head: [
      "run",
      "tasks",
      "λ",
      "memorised",
      "peak",
      "collapse",
      "grok",
      "delay",
      "lag",
      "grok / memorised",
      "linear model",
      "collapse / grok",
      "linear model",
    ],
    rows: runs.map((run) => [
      run.name,
      `${run.trainTasks} of ${run.taskCount}`,
      formatNumber(run.lambda),
      ...[run.memorisedStep, run.uncertaintyPeakStep, run.collapseStep, run.grokStep, run.delay, run.lag].map(
        step,
      ),
      ...[run.delayRatio, run.model.delayRatio, run.lagRatio, run.model.lagRatio].map(quotient),
    ]),
  };
}

const bridgeGuide = [
  "λ stands for unknowns per observation: each pair of a task and an input is one entry of a table, of which training sees a part. It goes to 0 when nothing is held out, where the linear model has no delay either; the number of parameters plays no part in it.",
  "The only fitted number is the unit of time, from memorisation alone. With one run the training curve passes through its point by construction.",
  "What can be compared is the trend: whether the delay grows with λ, and whether collapse and generalisation stay together. Heights, slopes and the place of the divergence at λ = 1 are the linear model's own.",
  "A transformer learns features, is trained with another loss and optimiser, and shares structure between tasks that the linear model does not know. Its uncertainty is the disagreement of an ensemble, not a posterior variance.",
];
