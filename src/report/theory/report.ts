/** A study as one HTML file and as machine-readable files. */
import { join, resolve } from "node:path";
import { requireOutside } from "../../export/target.ts";
import { makeFolder, requireWritable } from "../../run/folders.ts";
import { formatNumber } from "../format.ts";
import { escapeHtml } from "../html.ts";
import { type OutputKind, requireReplaceable, writeOutput } from "../output.ts";
import { bulletList, type Fact, factList, htmlPage, htmlTable, section } from "../page.ts";
import { bridgeSection } from "./bridge-section.ts";
import { theoryFigures } from "./figures/index.ts";
import { figuresHtml } from "./figures-html.ts";
import type { FixedTimes, Study } from "./study.ts";
import type { TimesRow } from "./times-row.ts";
import { formatTime, timesTable } from "./times-table.ts";

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
      ...(bridge ? [await bridgeSection(bridge, parameters.level)] : []),
      section("Times over λ", htmlTable(timesTable(study.table))),
      section("How to read this", bulletList(readingGuide)),
    ].join("\n"),
    footer: sampleNote(study),
  });
}

/** What `writeTheoryReport` writes into its directory. */
const FILES: Record<string, OutputKind> = {
  "report.html": "HTML report",
  "theory.json": "study of the linear model",
  "curves.csv": "table of curves",
};

/** @throws UsageError if a file of one of these names is not of an earlier study, and in a run or a sweep */
export async function requireTheoryDirectory(directory: string): Promise<void> {
  requireWritable(directory);
  for (const [name, what] of Object.entries(FILES)) {
    requireOutside(join(directory, name));
    await requireReplaceable(join(directory, name), what);
  }
}

/**
 * Write `report.html`, `theory.json` (the whole study; infinite times as the string "Infinity") and `curves.csv`.
 *
 * @returns the absolute path of the HTML file
 * @throws UsageError as `requireTheoryDirectory`
 */
export async function writeTheoryReport(study: Study, directory: string): Promise<string> {
  const contents = [await theoryPage(study), `${studyJson(study)}\n`, curvesCsv(study)];
  makeFolder(directory);
  for (const [i, [name, what]] of Object.entries(FILES).entries())
    await writeOutput(join(directory, name), contents[i], what);
  return resolve(directory, "report.html");
}

/** The study as JSON. JSON has no infinity: it becomes the string "Infinity"; what is undefined is null, and `notes` say why. */
export function studyJson(study: Study): string {
  return JSON.stringify(
    { schema: "epigrok-theory/1", ...study, notes: undefinedValues(study) },
    (_, value) => (value === Infinity ? "Infinity" : value),
  );
}

/** Why values of the study are undefined, a sentence each; none where all are defined. */
function undefinedValues({ parameters: { lambda, noise, sn2 } }: Study): string[] {
  return [
    ...(lambda >= 1
      ? [
          "asymptotics.delay and asymptotics.informationPlateau are null: they are defined for lambda below 1.",
        ]
      : []),
    ...(sn2 === 0 && noise.includes("fixed")
      ? ["MI with fixed noise is null: without label noise its noise is 0, and information has no bound."]
      : []),
  ];
}

/** One line per time; columns `model.field`. Undefined values, such as MI without any noise, are empty cells. */
export function curvesCsv({ t, curves }: Study): string {
  const columns = Object.entries(curves).flatMap(([model, fields]) =>
    Object.entries(fields).map(([field, values]) => ({ name: `${model}.${field}`, values })),
  );
  const lines = t.map((time, i) =>
    [time, ...columns.map(({ values }) => (Number.isNaN(values[i]) ? "" : values[i]))].join(","),
  );
  return `${["t", ...columns.map(({ name }) => name)].join(",")}\n${lines.join("\n")}\n`;
}

/** The outcome at one lambda in words. */
export function summary(times: TimesRow & { fixed?: FixedTimes }): string {
  const { fixed } = times;
  return [
    learnt(times),
    ...(fixed
      ? [
          `With fixed noise, at the label noise, the training loss arrives at t = ${formatTime(fixed.tTrain)}, the test loss at t = ${formatTime(fixed.tGen)} and the variance at t = ${formatTime(fixed.tU)}.`,
        ]
      : []),
  ].join(" ");
}

function learnt({ lambda, tTrain, tGen, residual, elbo }: TimesRow): string {
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
