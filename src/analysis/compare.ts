/** Methods against each other on one run: their uncertainty over the steps, its fall, calibration and cost. */
import type { Config } from "../config/schema.ts";
import { methodNamed, POSTERIOR_METHODS, type PosteriorMethod } from "../posterior/methods/index.ts";
import { detectGrokking } from "../uncertainty/detector.ts";
import { crossing, FALL_START, type Fall } from "../uncertainty/fall.ts";
import type { EnsembleMeasures } from "../uncertainty/measures.ts";
import { STATISTIC_NAMES, type StatisticValues } from "../uncertainty/statistics.ts";
import type { PosteriorRecord } from "./posterior-job.ts";

/** One step of one method, on unseen tasks at the last position. */
export interface MethodPoint {
  step: number;
  /** Means over the members that a posterior was fitted around; without a statistic that some record lacks. */
  mean: StatisticValues;
  /** Smallest and largest mutual information of these members, nats. */
  range: [number, number];
  /** Mean over the members of log evidence / N, nats per prediction; null but for Laplace. */
  evidencePerTerm: number | null;
  priorPrecision: number | null;
  effectiveParameters: number | null;
  /** What speaks against the evidence of one of them, in words. */
  warnings: string[];
}

export interface MethodComparison {
  method: PosteriorMethod;
  /** What it is called in this run: its own name, unless that would mislead. */
  name: string;
  /** S: the plug-in mutual information of different S does not compare. */
  samples: number;
  members: number;
  points: MethodPoint[];
  /** Where the mutual information is largest. null where there is none to speak of, see `noFall`. */
  peakStep: number | null;
  peakMutualInformation: number | null;
  /** From 90 % to 50 % of that; null for the reason in `noFall`. */
  fall: Fall | null;
  /** Why there is no fall, in words; null where there is one. */
  noFall: string | null;
  /** Step of the fall to 50 % minus the grok step: negative where it leads. null without either. */
  lead: number | null;
  /** The detector's collapse, which wants a peak of a quarter of min(log S, log C); null if it sees none. */
  collapseStep: number | null;
  /** Whether the detector saw a peak at all. */
  peakDetected: boolean;
  /** Seconds of one worker: of a posterior on average, and of all. */
  secondsEach: number;
  secondsTotal: number;
}

/** Kept checkpoints lie far apart: two in a row are evidence of what lasts. */
const SUSTAIN = 2;

/** What a comparison has to know of the run. */
interface ComparedRun {
  /** C */
  classes: number;
  grokStep: number | null;
  /** By which methods are named. Default: by themselves. */
  config?: Config;
}

/**
 * A method's results with other settings than its last ones are left out, and so are methods without results on unseen
 * tasks.
 */
export function compareMethods(records: readonly PosteriorRecord[], run: ComparedRun): MethodComparison[] {
  return POSTERIOR_METHODS.flatMap((method) => {
    const all = records.filter((r) => r.method === method && r.sets.unseenTasks);
    const chosen = all.filter((record) => record.settings === all[all.length - 1].settings);
    return chosen.length === 0 ? [] : [compareMethod(method, chosen, run)];
  });
}

function compareMethod(
  method: PosteriorMethod,
  records: readonly PosteriorRecord[],
  { classes, grokStep, config }: ComparedRun,
): MethodComparison {
  const steps = [...new Set(records.map(({ step }) => step))].sort((a, b) => a - b);
  const points = steps.map((step) =>
    pointOf(
      step,
      records.filter((record) => record.step === step),
    ),
  );
  const peak = points.reduce((best, point) =>
    point.mean.mutualInformation > best.mean.mutualInformation ? point : best,
  );
  const samplesAt = new Map(records.map(({ step, samples }) => [step, samples]));
  const samples = Math.max(...samplesAt.values());
  // The MI of a single draw is 0 whatever the posterior.
  const some = samples > 1 && peak.mean.mutualInformation > 0;
  const fall = some
    ? fallOf(points.map(({ step, mean }) => ({ step, value: mean.mutualInformation })))
    : null;
  const detector = detectGrokking(
    points.map(({ step, mean }) => ({
      step,
      mutualInformation: mean.mutualInformation,
      totalEntropy: mean.totalEntropy,
      expectedEntropy: mean.expectedEntropy,
      disagreement: mean.disagreement,
      members: samplesAt.get(step)!,
      classes,
    })),
    { sustain: SUSTAIN },
  );
  const seconds = records.reduce((sum, r) => sum + r.fitSeconds + r.predictSeconds, 0);
  return {
    method,
    name: (config && methodNamed(method).nameIn?.(config)) ?? method,
    samples,
    // All of them in each posterior, or one in each.
    members: records.some(({ member }) => member === null)
      ? samples
      : new Set(records.map(({ member }) => member)).size,
    points,
    peakStep: some ? peak.step : null,
    peakMutualInformation: samples > 1 ? peak.mean.mutualInformation : null,
    fall,
    noFall: fall ? null : reasonForNone(samples, some, points.length),
    lead: fall && grokStep !== null ? fall.end - grokStep : null,
    collapseStep: detector.collapseStep,
    peakDetected: detector.uncertaintyPeakStep !== null,
    secondsEach: seconds / records.length,
    secondsTotal: seconds,
  };
}

function reasonForNone(samples: number, some: boolean, points: number): string {
  if (samples < 2) return "mutual information is between draws, and there is one";
  if (!some) return "the draws agree entirely: mutual information is 0 throughout";
  if (points < 2) return "there is one checkpoint";
  return "mutual information does not fall to half of its maximum within these steps";
}

function pointOf(step: number, records: readonly PosteriorRecord[]): MethodPoint {
  const measures = records.map(({ sets }) => sets.unseenTasks!);
  const information = measures.map((m) => m.mutualInformation);
  const laplace = records.flatMap((r) => (r.laplace ? [{ ...r.laplace, terms: r.trainingTerms }] : []));
  const ofLaplace = (value: (l: (typeof laplace)[number]) => number) =>
    laplace.length > 0 ? mean(laplace.map(value)) : null;
  return {
    step,
    mean: meanStatistics(measures),
    range: [Math.min(...information), Math.max(...information)],
    evidencePerTerm: ofLaplace((l) => l.logMarginalLikelihood / l.terms),
    priorPrecision: ofLaplace((l) => l.priorPrecision),
    effectiveParameters: ofLaplace((l) => l.effectiveParameters),
    warnings: [...new Set(laplace.flatMap(({ warnings = [] }) => warnings))],
  };
}

function meanStatistics(measures: readonly EnsembleMeasures[]): StatisticValues {
  const means = STATISTIC_NAMES.flatMap((name) => {
    const values = measures.flatMap((m) => m[name] ?? []);
    return values.length === measures.length ? [[name, mean(values)]] : [];
  });
  return Object.fromEntries(means);
}

/**
 * The first fall from the largest value to half of it: the last crossing of 90 % and the crossing of 50 %, interpolated
 * linearly. null if the values do not fall so far, or have nothing to fall from.
 */
export function fallOf(values: readonly { step: number; value: number }[]): Fall | null {
  const peak = values.reduce((best, v, i) => (v.value > values[best].value ? i : best), 0);
  const top = values[peak]?.value ?? 0;
  if (!(top > 0)) return null;
  const after = values.findIndex((v, i) => i > peak && v.value <= top / 2);
  if (after < 0) return null;
  const before = values.findLastIndex((v, i) => i < after && v.value >= FALL_START * top);
  const start = crossing(values[before], values[before + 1], FALL_START * top);
  const end = crossing(values[after - 1], values[after], top / 2);
  return { start, end, steps: end - start };
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
