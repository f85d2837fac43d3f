/** What the grokking detector sees of one evaluation: uncertainty, and no label. */

import type { MetricsRecord } from "../run/records.ts";
import type { ProbeSetName } from "../training/messages.ts";
import { refuse, requireCount } from "../validate.ts";

/** One evaluation: means over a fixed list of prompts on unseen tasks, nats. */
export interface UncertaintyObservation {
  step: number;
  mutualInformation: number;
  totalEntropy: number;
  expectedEntropy: number;
  /** Fraction of member pairs with different top-1 classes. */
  disagreement: number;
  /** M, members in the ensemble, and C, classes. */
  members: number;
  classes: number;
}

/** Slack (nats) when checking that the measures fit together: values may come rounded from a table. */
const CONSISTENCY = 1e-3;

/** Largest possible mutual information of M members over C classes, nats. */
export const informationBound = (members: number, classes: number) => Math.log(Math.min(members, classes));

/**
 * Check that an observation is possible and can follow `previous`.
 *
 * @throws RangeError naming the measure, its value and its limits
 */
export function checkObservation(
  o: UncertaintyObservation,
  previous: UncertaintyObservation | undefined,
): void {
  requireCount("members", o.members);
  requireCount("classes", o.classes);
  if (!Number.isFinite(o.step) || (previous && o.step <= previous.step)) {
    refuse("step", o.step, `finite and above the one before (${previous?.step ?? "none"})`);
  }
  if (previous && o.classes !== previous.classes) {
    refuse("classes", o.classes, `${previous.classes}, as before in the trajectory`);
  }
  const limits = {
    mutualInformation: informationBound(o.members, o.classes),
    totalEntropy: Math.log(o.classes),
    expectedEntropy: Math.log(o.classes),
    disagreement: 1,
  };
  for (const [name, limit] of Object.entries(limits) as [keyof typeof limits, number][]) {
    if (!(o[name] >= -CONSISTENCY && o[name] <= limit + CONSISTENCY)) {
      refuse(
        name,
        o[name],
        `from 0 to ${limit} with ${o.members} members and ${o.classes} classes (entropies in nats)`,
      );
    }
  }
  const excess = o.totalEntropy - o.expectedEntropy - o.mutualInformation;
  if (Math.abs(excess) > CONSISTENCY) {
    refuse(
      "totalEntropy",
      o.totalEntropy,
      `expectedEntropy + mutualInformation (${o.expectedEntropy} + ${o.mutualInformation})`,
    );
  }
}

/** The observations of a run on one probe set; evaluations that lack the set are left out. */
export function uncertaintyTrajectory(
  records: readonly MetricsRecord[],
  classes: number,
  set: ProbeSetName = "unseenTasks",
): UncertaintyObservation[] {
  return records.flatMap(({ step, members, ensemble }) => {
    const measures = ensemble[set];
    if (!measures) return [];
    const { mutualInformation, totalEntropy, expectedEntropy, disagreement } = measures;
    const predicting = members.filter((member) => member.sets[set]).length;
    return [
      { step, mutualInformation, totalEntropy, expectedEntropy, disagreement, members: predicting, classes },
    ];
  });
}
