/** The comparison of methods as tables of text, for the terminal, the report and the documentation. */

import type { MethodComparison } from "../analysis/compare.ts";
import type { RunData } from "../run/read.ts";
import { formatNumber, formatPercent, formatStep } from "./format.ts";

export interface TextTable {
  caption: string;
  head: string[];
  rows: string[][];
}

const wholeStep = (step: number) => formatStep(Math.round(step));

/** A step relative to another: leads are negative. */
function signed(steps: number | null): string {
  if (steps === null) return "–";
  return `${steps < 0 ? "−" : "+"}${wholeStep(Math.abs(steps))}`;
}

/** How the mutual information of each method rises and falls. */
export function collapseTable(
  methods: readonly MethodComparison[],
  { events, summary }: Pick<RunData, "events" | "summary">,
): TextTable {
  const none = summary ? "the run did not grok" : "the unfinished run has not grokked so far";
  const grok = events.grokStep === null ? none : `grok at step ${formatStep(events.grokStep)}`;
  return {
    caption: `Mutual information on unseen tasks, means over the members (${grok}). Half: the step at which MI has fallen to half of the method's own maximum; sharpness: steps from 90 % to 50 % of it; both between checkpoints, by interpolation. Detector: the label-free collapse, which wants a peak of a quarter of min(log S, log C).`,
    head: [
      "method",
      "S",
      "members",
      "checkpoints",
      "largest MI (nats)",
      "at step",
      "half at step",
      "after grok",
      "sharpness",
      "detector",
      "s each",
    ],
    rows: methods.map((m) => [
      m.name,
      String(m.samples),
      String(m.members),
      String(m.points.length),
      formatNumber(m.peakMutualInformation),
      formatStep(m.peakStep),
      m.fall ? wholeStep(m.fall.end) : "–",
      signed(m.lead),
      m.fall ? wholeStep(m.fall.steps) : "–",
      detected(m),
      formatNumber(m.secondsEach),
    ]),
  };
}

function detected({ collapseStep, peakDetected }: MethodComparison): string {
  if (!peakDetected) return "no peak";
  return collapseStep === null ? "no collapse" : formatStep(collapseStep);
}

/** Calibration on unseen tasks at the last step that all methods have. */
export function calibrationTable(methods: readonly MethodComparison[]): TextTable | null {
  const step = lastCommonStep(methods);
  if (step === null) return null;
  return {
    caption: `Calibration on unseen tasks at step ${formatStep(step)}, of the mean predictive, means over the members.`,
    head: ["method", "accuracy", "NLL (nats)", "ECE", "Brier", "MI (nats)", "expected H (nats)"],
    rows: methods.map(({ name, samples, points }) => {
      const { mean } = points.find((point) => point.step === step)!;
      return [
        name,
        formatPercent(mean.accuracy),
        formatNumber(mean.nll),
        formatNumber(mean.ece),
        formatNumber(mean.brier),
        samples > 1 ? formatNumber(mean.mutualInformation) : "–",
        formatNumber(mean.expectedEntropy),
      ];
    }),
  };
}

function lastCommonStep(methods: readonly MethodComparison[]): number | null {
  const [first, ...others] = methods;
  if (!first) return null;
  const common = first.points.filter(({ step }) =>
    others.every(({ points }) => points.some((point) => point.step === step)),
  );
  return common.at(-1)?.step ?? null;
}

/** What speaks against the evidence and the prior precision of a method at some of its checkpoints, a sentence each. */
export function warningsOf(methods: readonly MethodComparison[]): string[] {
  return methods.flatMap(({ name, points }) =>
    points.flatMap(({ step, warnings }) =>
      warnings.map((warning) => `${name} at step ${formatStep(step)}: ${warning}.`),
    ),
  );
}

/** Why there is no fall of a method's mutual information, a sentence each. */
export function missingFalls(methods: readonly MethodComparison[]): string[] {
  return methods.flatMap(({ name, noFall }) => (noFall === null ? [] : `${name}: ${noFall}.`));
}

/** GitHub's Markdown. */
export function markdown({ caption, head, rows }: TextTable): string {
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i].length)));
  const line = (cells: string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(" | ")} |`;
  const rule = `|${widths.map((width, i) => (i === 0 ? `:${"-".repeat(width + 1)}` : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [caption, "", line(head), rule, ...rows.map(line)].join("\n");
}
