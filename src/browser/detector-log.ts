/** What the detector said through training, and when: a line for every evaluation at which it changed its mind. */
import type { DetectorState } from "../uncertainty/detector.ts";

export interface Remark {
  /** Of the evaluation at which it was said. */
  step: number;
  text: string;
}

const nats = (value: number | null) => `${(value ?? Number.NaN).toFixed(2)} nats`;

/** null where `now` says nothing that `before` did not. @param before of the evaluation before; null at the first */
export function remarkOn(before: DetectorState | null, now: DetectorState): Remark | null {
  const { step, phase, collapseStep, reversals } = now;
  if (step === null) return null;
  const withdrawn = reversals.length > (before?.reversals.length ?? 0) ? reversals.at(-1) : undefined;
  if (withdrawn)
    return { step, text: `the collapse at step ${withdrawn.collapseStep} is withdrawn: it did not last` };
  if (before && phase === before.phase && collapseStep === before.collapseStep) return null;
  return { step, text: inPhase(now) };
}

function inPhase(now: DetectorState): string {
  const { phase, uncertaintyPeakStep, peakMutualInformation, collapseStep, confidence } = now;
  switch (phase) {
    case "untrained":
      return "the members are near uniform: they agree because they know nothing";
    case "diverging":
      return `the members diverge (mutual information ${nats(now.mutualInformation)})`;
    case "peaked":
      return `uncertainty has peaked, at step ${uncertaintyPeakStep} with ${nats(peakMutualInformation)}; no collapse`;
    case "collapsed":
      return `uncertainty has collapsed, since step ${collapseStep}: the members came to agree (confidence ${confidence})`;
  }
}
