/** The report's sections on approximate posteriors and on curvature; empty without results. */
import type { MethodComparison } from "../analysis/compare.ts";
import { OPERATORS } from "../analysis/spectrum-job.ts";
import { METHOD_DEFINITIONS, type PosteriorMethod } from "../posterior/methods/index.ts";
import type { Fall } from "../uncertainty/fall.ts";
import { spectraOf } from "./figures/spectrum.ts";
import { formatNumber, formatOctaves, formatStep } from "./format.ts";
import { bulletList, htmlTable, section } from "./page.ts";
import { calibrationTable, collapseTable, warningsOf } from "./posterior-tables.ts";
import type { RunData } from "./read-run.ts";
import { failedCoefficients, groupTable, spectrumTable } from "./spectrum-table.ts";

/** Those of arXiv 2604.12434, which every run gets as far as they cost little. */
const PUBLISHED: readonly PosteriorMethod[] = ["ivon", "laplace-last-layer"];

/** Below this, in nats, the mutual information of a method is no more than its draws' small differences. */
const NEGLIGIBLE = 0.01;

/** @param figures trusted HTML */
export function posteriorSection(
  run: RunData,
  methods: readonly MethodComparison[],
  figures: string,
): string {
  if (methods.length === 0) return "";
  const calibration = calibrationTable(methods);
  return section(
    "Approximate posteriors",
    [
      bulletList([
        ensembleInWords(run),
        ...methods.map((method) => methodInWords(method, run)),
        ...PUBLISHED.filter((name) => !methods.some(({ method }) => method === name)).map(
          (name) =>
            `${name}: not fitted, since it would take more than its share of the training's time; epigrok posterior with --methods ${name} fits it.`,
        ),
      ]),
      figures,
      htmlTable(collapseTable(methods, run)),
      ...(calibration ? [htmlTable(calibration)] : []),
      bulletList(remarks(run, methods)),
    ].join("\n"),
  );
}

export function curvatureSection(run: RunData): string {
  const records = OPERATORS.flatMap((operator) => spectraOf(run, operator));
  if (records.length === 0) return "";
  const failed = failedCoefficients(records);
  const groups = groupTable(records);
  return section(
    "Curvature",
    [
      htmlTable(spectrumTable(records)),
      ...(groups ? [htmlTable(groups)] : []),
      ...(failed.length > 0 ? [bulletList(failed)] : []),
    ].join("\n"),
  );
}

function ensembleInWords({ detector, events, records, config }: RunData): string {
  const { peakMutualInformation: peak, uncertaintyPeakStep, fall } = detector;
  const last = records.at(-1)?.ensemble.unseenTasks?.mutualInformation ?? Number.NaN;
  const { posteriorSamples: samples } = config.evaluation;
  const each = samples ? `, each the mean over ${samples} samples of its own posterior` : "";
  return `The ensemble of separate trainings${each}: ${courseInWords({ peak, peakStep: uncertaintyPeakStep, fall, last, grokStep: events.grokStep })}`;
}

/** Whether the uncertainty of one method collapses, when, and how sharply. */
export function methodInWords(
  {
    name,
    samples,
    members,
    points,
    peakMutualInformation,
    peakStep,
    fall,
    noFall,
    peakDetected,
  }: MethodComparison,
  { events }: Pick<RunData, "events">,
): string {
  if (peakMutualInformation === null) return `${name}: ${noFall}.`;
  const last = points[points.length - 1].mean.mutualInformation;
  const small = peakDetected ? "" : " Its peak is too small for the detector.";
  const fitted = `${members} ${members === 1 ? "member" : "members"}, ${samples} draws`;
  return `${name} (${fitted}): ${courseInWords({ peak: peakMutualInformation, peakStep, fall, last, grokStep: events.grokStep })}${small}`;
}

function courseInWords({
  peak,
  peakStep,
  fall,
  last,
  grokStep,
}: {
  peak: number | null;
  peakStep: number | null;
  fall: Fall | null;
  last: number;
  grokStep: number | null;
}): string {
  const end = `${formatNumber(last)} nats at the end`;
  if (peak === null) return `no peak of MI; ${end}.`;
  const peaks = `MI is largest at step ${formatStep(peakStep)} (${formatNumber(peak)} nats)`;
  if (fall === null) return `${peaks} and does not fall to half of that; ${end}.`;
  const when = grokStep === null ? "" : `, ${formatOctaves(fall.end, grokStep)} the grok step`;
  const sharpness = `from 90 % to half in ${formatStep(Math.round(fall.steps))} steps, a factor ${(fall.end / fall.start).toFixed(2)} in time`;
  return `${peaks} and collapses to half of that at step ${formatStep(Math.round(fall.end))}${when}; ${sharpness}; ${end}.`;
}

function remarks(run: RunData, methods: readonly MethodComparison[]): string[] {
  const names = (of: readonly MethodComparison[]) => of.map(({ name }) => name).join(", ");
  const without = methods.filter(({ peakDetected }) => !peakDetected);
  const reasons = [...new Set(methods.flatMap(({ noFall }) => noFall ?? []))];
  const tiny = methods.filter(({ peakMutualInformation: peak }) => peak !== null && peak < NEGLIGIBLE);
  const own = METHOD_DEFINITIONS.flatMap(({ name, remark }) => {
    const last = run.posteriors.findLast(({ method }) => method === name);
    return (last && remark?.(last.options, run.config)) ?? [];
  });
  const sizes = new Set(methods.map(({ samples }) => samples));
  return [
    "Each posterior is fitted around a checkpoint of the finished training, and measured on the same prompts of unseen tasks as the ensemble. One posterior describes the neighbourhood of one solution: it cannot know of other solutions, as an ensemble can.",
    ...(sizes.size > 1
      ? [
          "MI estimated from few draws is biased low: methods of different S do not compare in size, only in shape.",
        ]
      : []),
    ...(without.length > 0
      ? [
          `No peak by the detector's standard, which is made for ensembles of separate trainings, for ${names(without)}: their MI stays below a quarter of min(log S, log C), and the half-fall is relative to their own maximum.`,
        ]
      : []),
    ...reasons.map(
      (why) => `No fall of MI for ${names(methods.filter(({ noFall }) => noFall === why))}: ${why}.`,
    ),
    ...(tiny.length > 0
      ? [
          `MI never exceeds ${NEGLIGIBLE} nats for ${names(tiny)}: with N as large as the predictions trained on, the posterior is so narrow that rise and fall are within its noise.`,
        ]
      : []),
    ...own,
    ...warningsOf(methods),
  ];
}
