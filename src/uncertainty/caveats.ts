/** What a state of the detector does not show, and what speaks against it: codes with their numbers, and no words. */
import { log } from "../elementary.ts";
import type { UncertaintyObservation } from "./observation.ts";

/** What the present phase leaves open. */
export type Limit =
  | { code: "noEvaluation" }
  | { code: "oneMember" }
  /** A standing collapse: members can agree on a wrong answer. */
  | { code: "agreementIsNoProof" }
  /** The newest evaluations, of the `needed` that would withdraw the collapse, speak against it. */
  | { code: "collapseOpposed"; evaluations: number; needed: number }
  /** The newest evaluations, of the `needed` that make a collapse, show agreement. */
  | { code: "agreementIsNew"; evaluations: number; needed: number }
  /** No collapse since the peak: MI is still above the collapse line. */
  | { code: "membersDisagree"; mutualInformation: number; shareOfPeak: number }
  /** No collapse since the peak: MI is low, but the members are less sure than of one opinion. */
  | { code: "membersUnsure"; mutualInformation: number; shareOfPeak: number }
  | { code: "nearUniform"; expectedEntropy: number; largest: number }
  /** MI never reached `smallest` (nats) at two evaluations in a row. */
  | { code: "noPeak"; smallest: number };

/** What speaks against a standing collapse; each doubt lowers the confidence. */
export type Doubt =
  | { code: "informationRemains"; shareOfPeak: number }
  | { code: "votesDiffer"; disagreement: number; atPeak: number }
  | { code: "entropyRose"; totalEntropy: number; atPeak: number }
  /** MI is more than half of `ofDissenter`, what one dissenting member can cause. */
  | { code: "roomForDissenter"; mutualInformation: number; members: number; ofDissenter: number }
  | { code: "twoMembers" }
  | { code: "earlierCollapse"; steps: readonly number[] };

/** What happened to the trajectory itself. */
export type Incident =
  | { code: "membersChanged"; from: number; to: number; step: number }
  | { code: "backToUniform"; peakStep: number };

/** Entropies and information in nats. */
export type Caveat = Limit | Doubt | Incident;

/** A standing collapse. */
export interface CollapseEvidence {
  /** The evaluation at the peak. */
  peak: UncertaintyObservation;
  /** The collapse line, nats. */
  line: number;
  /** Means over the newest evaluations. */
  recent: Pick<UncertaintyObservation, "mutualInformation" | "totalEntropy" | "disagreement">;
  /** Steps of collapses that did not last. */
  earlier: readonly number[];
}

export function doubtsAbout({ peak, line, recent, earlier }: CollapseEvidence): Doubt[] {
  const { members } = peak;
  const { mutualInformation, totalEntropy, disagreement } = recent;
  const ofDissenter = dissenterInformation(members);
  const doubts: Doubt[] = [];
  if (mutualInformation > line / 2)
    doubts.push({ code: "informationRemains", shareOfPeak: mutualInformation / peak.mutualInformation });
  if (disagreement > peak.disagreement / 2)
    doubts.push({ code: "votesDiffer", disagreement, atPeak: peak.disagreement });
  if (totalEntropy > peak.totalEntropy)
    doubts.push({ code: "entropyRose", totalEntropy, atPeak: peak.totalEntropy });
  if (members > 2 && mutualInformation > ofDissenter / 2)
    doubts.push({ code: "roomForDissenter", mutualInformation, members, ofDissenter });
  if (members === 2) doubts.push({ code: "twoMembers" });
  if (earlier.length > 0) doubts.push({ code: "earlierCollapse", steps: earlier });
  return doubts;
}

/** MI of M - 1 members certain of one class and one certain of another, nats. */
function dissenterInformation(members: number): number {
  return log(members) - ((members - 1) / members) * log(members - 1);
}
