/** What the grokking detector sees of one evaluation: uncertainty, and no label. */
import { refuse, requireCount, requireObject } from "../validate.ts";
import { STATISTICS, UNLABELLED_STATISTICS, type UnlabelledStatistic } from "./statistics.ts";

/** What the detector works with; the others are checked and left alone. */
const NEEDED = ["mutualInformation", "totalEntropy", "expectedEntropy", "disagreement"] as const;

type Needed = (typeof NEEDED)[number];
type Other = Exclude<UnlabelledStatistic, Needed>;

/** The unlabelled statistics of one evaluation: means over a fixed list of prompts on unseen tasks. */
export interface UncertaintyObservation extends Record<Needed, number>, Partial<Record<Other, number>> {
  step: number;
  /** M, members in the ensemble, and C, classes. */
  members: number;
  classes: number;
}

/** Slack when checking that the measures fit together: values may come rounded from a table. */
const CONSISTENCY = 1e-3;

/**
 * Check that an observation is possible and can follow `previous`.
 *
 * @throws RangeError naming the measure, its value and its limits
 */
export function checkObservation(
  o: UncertaintyObservation,
  previous: UncertaintyObservation | undefined,
): void {
  requireCount("members", requireObject("observation", o).members);
  requireCount("classes", o.classes);
  if (!Number.isFinite(o.step) || (previous && o.step <= previous.step)) {
    refuse("step", o.step, `finite and above the one before (${previous?.step ?? "none"})`);
  }
  if (previous && o.classes !== previous.classes) {
    refuse("classes", o.classes, `${previous.classes}, as before in the trajectory`);
  }
  const given = UNLABELLED_STATISTICS.filter((name) => o[name] !== undefined);
  for (const name of new Set([...NEEDED, ...given])) {
    const limit = STATISTICS[name].bound(o.members, o.classes);
    if (!(o[name]! >= -CONSISTENCY && o[name]! <= limit + CONSISTENCY)) {
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
