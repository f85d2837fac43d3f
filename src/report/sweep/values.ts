/** What a sweep is looked at for: one number of each run, and what stands for several runs. */
import type { SweepResult } from "../../sweep/results.ts";
import { formatNumber, formatShare, formatStep } from "../format.ts";

export interface SweepValue {
  title: string;
  caption: string;
  /** Of a run; null where it never came to it. */
  of: (result: SweepResult) => number | null;
  format: (value: number | null) => string;
  /** Of several runs, most often those of several seeds. */
  middle: (values: readonly (number | null)[]) => number | null;
}

/** Never is later than any step; null if that is in the middle, or for no values. */
function median(values: readonly (number | null)[]): number | null {
  const sorted = values.map((value) => value ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b);
  const half = sorted.length / 2;
  const middle = (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2;
  return Number.isFinite(middle) ? middle : null;
}

function mean(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}

const difference = (later: number | null, earlier: number | null) =>
  later === null || earlier === null ? null : later - earlier;

export const SWEEP_VALUES = {
  grokked: {
    title: "Members that grok",
    caption: "Share of the members that solve unseen tasks, of all runs together.",
    of: ({ perMember, members }) => perMember.filter(({ grokStep }) => grokStep !== null).length / members,
    format: formatShare,
    middle: mean,
  },
  delay: {
    title: "Delay",
    caption:
      "Steps between memorising and grokking, of the median member; median over runs, of which one that never groks counts as the longest.",
    of: ({ grokStep, memorisedStep }) => difference(grokStep, memorisedStep),
    format: formatStep,
    middle: median,
  },
  peak: {
    title: "Peak of mutual information",
    caption: "On unseen tasks, nats; median over runs.",
    of: ({ mutualInformation }) => mutualInformation.peak,
    format: formatNumber,
    middle: median,
  },
  final: {
    title: "Mutual information at the end",
    caption: "On unseen tasks, nats; median over runs.",
    of: ({ mutualInformation }) => mutualInformation.final,
    format: formatNumber,
    middle: median,
  },
  lead: {
    title: "Lead of the collapse",
    caption:
      "Steps by which the collapse of uncertainty comes before grokking, below 0 after it; median over the runs that have both.",
    of: ({ grokStep, collapseStep }) => difference(grokStep, collapseStep),
    format: formatStep,
    middle: (values) => median(values.filter((value) => value !== null)),
  },
  accuracy: {
    title: "Accuracy on unseen tasks",
    caption: "Of the ensemble at the end; median over runs.",
    of: ({ accuracy }) => accuracy.unseenTasks,
    format: formatShare,
    middle: median,
  },
} satisfies Record<string, SweepValue>;

export type SweepValueName = keyof typeof SWEEP_VALUES;
export const SWEEP_VALUE_NAMES = Object.keys(SWEEP_VALUES) as SweepValueName[];
