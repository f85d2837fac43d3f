/** A study as one HTML file and as machine-readable files. */
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import writeFileAtomic from "write-file-atomic";
import type { Bridge } from "../../analysis/bridge.ts";
import type { Study, StudyRow } from "../../theory/study.ts";
import type { Figure } from "../figures/plot.ts";
import { formatNumber } from "../format.ts";
import { escapeHtml } from "../html.ts";
import { bulletList, type Fact, factList, figureHtml, htmlPage, htmlTable, section } from "../page.ts";
import { renderSvg } from "../svg.ts";
import { bridgeFigures, ratioNames } from "./bridge-figures.ts";
import { theoryFigures } from "./figures.ts";

/** The report as an HTML document without script or network access. */
export async function theoryPage(study: Study): Promise<string> {
  const { parameters, bridge } = study;
  return htmlPage({
    title: `Uncertainty and grokking in the Bayesian linear model, λ = ${parameters.lambda}`,
    subtitle: `Label noise ${parameters.sn2}, initial variance ${parameters.u0}, level ${parameters.level}; teacher of unit norm`,
    body: [
      `<p class="verdict">${escapeHtml(summary(study.times))}</p>`,
      factList(facts(study)),
      section("Figures", await figuresHtml(theoryFigures(study))),
      ...(bridge ? [await bridgeSection(bridge, study)] : []),
      section("Times over λ", htmlTable(timesTable(study.table))),
      section("How to read this", bulletList(readingGuide)),
    ].join("\n"),
    footer: sampleNote(study),
  });
}

/**
 * Write `report.html`, `theory.json` (the whole study; infinite times as the string "Infinity") and `curves.csv`.
 *
 * @returns the absolute path of the HTML file
 */
export async function writeTheoryReport(study: Study, directory: string): Promise<string> {
  await mkdir(directory, { recursive: true });
  const path = resolve(directory, "report.html");
  await Promise.all([
    writeFileAtomic(path, await theoryPage(study)),
    writeFileAtomic(join(directory, "theory.json"), `${studyJson(study)}\n`),
    writeFileAtomic(join(directory, "curves.csv"), curvesCsv(study)),
  ]);
  return path;
}

/** The study as JSON. JSON has no infinity: it becomes the string "Infinity"; undefined values (NaN) become null. */
export function studyJson(study: Study): string {
  return JSON.stringify({ schema: "epigrok-theory/1", ...study }, (_, value) =>
    value === Infinity ? "Infinity" : value,
  );
}

/** One line per time; columns `model.field`. */
export function curvesCsv({ t, curves }: Study): string {
  const columns = Object.entries(curves).flatMap(([model, fields]) =>
    Object.entries(fields).map(([field, values]) => ({ name: `${model}.${field}`, values })),
  );
  const lines = t.map((time, i) => [time, ...columns.map(({ values }) => values[i])].join(","));
  return `${["t", ...columns.map(({ name }) => name)].join(",")}\n${lines.join("\n")}\n`;
}

/** Rows of times as text cells, with a heading row. */
export function timesTable(rows: StudyRow[]): { head: string[]; rows: string[][]; caption: string } {
  return {
    caption:
      "Without label noise. ∞: never. t U is the first time from the peak on at which V has fallen to the level.",
    head: ["λ", "t train", "t gen", "residual: t peak", "V peak", "t U", "ELBO: t peak", "V peak", "t U"],
    rows: rows.map((row) => [
      String(row.lambda),
      ...[row.tTrain, row.tGen].map(formatTime),
      ...[row.residual, row.elbo].flatMap(({ tPeak, vPeak, tU }) => [
        formatTime(tPeak),
        vPeak === null ? "–" : vPeak.toPrecision(3),
        formatTime(tU),
      ]),
    ]),
  };
}

/** Four significant digits; ∞ for a time that does not exist. */
export function formatTime(t: number): string {
  if (t === Infinity) return "∞";
  return t >= 1e4 ? t.toExponential(3) : t.toPrecision(4);
}

async function figuresHtml(figures: Figure[]): Promise<string> {
  const pictures = await Promise.all(
    figures.map(async ({ spec, ...figure }) => figureHtml({ ...figure, svg: await renderSvg(spec) })),
  );
  return `<div class="figures">\n${pictures.join("\n")}\n</div>`;
}

/** The outcome at one lambda in words. */
export function summary({ lambda, tTrain, tGen, residual, elbo }: StudyRow): string {
  if (tGen === Infinity) {
    return `At λ = ${lambda} the training data are learned at t = ${formatTime(tTrain)}, but the model never generalises to the level asked for, and its epistemic variance never collapses.`;
  }
  const collapse = ({ tU }: { tU: number }) =>
    tU === Infinity ? "never collapses" : `collapses at t = ${formatTime(tU)}`;
  return `At λ = ${lambda} the training loss arrives at t = ${formatTime(tTrain)} and the test loss at t = ${formatTime(tGen)}. The epistemic variance ${collapse(residual)} with residual noise and ${collapse(elbo)} with the ELBO's own noise.`;
}

function facts({ times, asymptotics, parameters }: Study): Fact[] {
  return [
    { term: "t gen / t train", value: formatNumber(times.tGen / times.tTrain), note: "length of the delay" },
    { term: "t U / t gen", value: ratio(times.residual.tU, times.tGen), note: "residual noise" },
    { term: "t U / t gen", value: ratio(times.elbo.tU, times.tGen), note: "ELBO noise" },
    {
      term: "MI plateau, limit",
      value:
        parameters.lambda < 1
          ? `${formatNumber(asymptotics.informationPlateau)}, ${formatNumber(asymptotics.informationLimit)}`
          : "unbounded",
      note: "nats; −log(1 − √λ), −log(1 − λ)/2",
    },
  ];
}

function ratio(a: number, b: number): string {
  return Number.isFinite(a) && Number.isFinite(b) ? formatNumber(a / b) : "–";
}

const readingGuide = [
  "The covariance is parametrised by its square root (standard deviation per eigenmode). The link between uncertainty and the spectral edge belongs to this choice: mean field in the coordinates of the inputs, log variances or natural gradients do not show it.",
  "With fixed noise and a calibrated model, V equals the test loss in the mean at every time, so uncertainty and generalisation arrive together, but V never peaks.",
  "With residual noise V equals the generalisation gap (for small initial variance and no label noise). This is a plug-in estimate of the noise, not an optimum of the ELBO. The time of the peak belongs to the bulk of the spectrum and says nothing about grokking; the collapse and MI belong to the edge.",
  "With the ELBO's own noise the peak itself moves with the edge, but V collapses later than the model generalises when λ is close to 1.",
  "At a fixed level the generalisation time stays finite at λ = 1 and diverges only at λ\u00a0=\u00a01/(1\u00a0−\u00a0l).",
];

async function bridgeSection(data: Bridge, { parameters }: Study): Promise<string> {
  return section(
    "Transformer runs beside the linear model: an analogy, not a prediction",
    [
      `<p>${escapeHtml(bridgeSummary(data, parameters.level))}</p>`,
      await figuresHtml(bridgeFigures(data, parameters.level)),
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
export function bridgeTable({ runs, ratio }: Bridge): { head: string[]; rows: string[][]; caption: string } {
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

function sampleNote({ simulation, trained, parameters }: Study): string | undefined {
  const notes = [];
  if (simulation) {
    const { d, draws, seed } = parameters;
    notes.push(
      `Simulations: d = ${d} (curves) and d = ${Math.max(1, Math.round(d! / 2))} (over λ), ${draws} draws, seed ${seed}.`,
    );
  }
  if (trained) {
    const { d, draws, seed } = trained;
    notes.push(`Trained regressions: d = ${d}, ${draws} draws, seed ${seed}, float32.`);
  }
  return notes.length > 0 ? notes.join(" ") : undefined;
}
