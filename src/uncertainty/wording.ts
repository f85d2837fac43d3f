/** The detector's caveats in words. */
import { refuse, requireObject } from "../validate.ts";
import type { Caveat } from "./caveats.ts";

/** A whole number of percent. */
export const percent = (share: number) => `${Math.round(100 * share)} %`;

const nats = (value: number) => `${value.toFixed(2)} nats`;

/** A clause without a capital and a full stop. @throws RangeError for what is no caveat */
export function inWords(caveat: Caveat): string {
  requireObject("caveat", caveat);
  switch (caveat.code) {
    case "noEvaluation":
      return "no evaluation yet";
    case "oneMember":
      return "one member has no mutual information: the diagnostic needs at least two";
    case "agreementIsNoProof":
      return "agreement is not proof: members can agree on a wrong answer, which low mutual information and low total entropy cannot tell from a right one";
    case "collapseOpposed":
      return `the newest ${caveat.evaluations} of the ${caveat.needed} evaluations that would withdraw the collapse speak against it`;
    case "agreementIsNew":
      return `the members agree, but only for ${caveat.evaluations} of the ${caveat.needed} evaluations needed`;
    case "membersDisagree":
      return `${level(caveat)}: the members still disagree`;
    case "membersUnsure":
      return `${level(caveat)}, but the members are less sure than at the peak rather than of one opinion`;
    case "nearUniform":
      return `the members are near uniform (expected entropy ${nats(caveat.expectedEntropy)} of at most ${nats(caveat.largest)}): low mutual information means nothing was learnt, or that the context leaves the answer open`;
    case "noPeak":
      return `no peak seen: mutual information never reached ${nats(caveat.smallest)} at two evaluations in a row; the members may have generalised without memorising first, agree on wrong answers, not have diverged yet, or have peaked between evaluations`;
    case "informationRemains":
      return `mutual information is still ${percent(caveat.shareOfPeak)} of its peak`;
    case "votesDiffer":
      return `the members' top answers still differ in ${percent(caveat.disagreement)} of pairs (${percent(caveat.atPeak)} at the peak)`;
    case "entropyRose":
      return `total entropy rose from ${nats(caveat.atPeak)} at the peak to ${nats(caveat.totalEntropy)}: the members agree on being unsure`;
    case "roomForDissenter":
      return `${nats(caveat.mutualInformation)} is more than half of what one dissenting member of ${caveat.members} can cause (${nats(caveat.ofDissenter)}): not every member need have grokked`;
    case "twoMembers":
      return "only two members: their agreement is a single comparison";
    case "earlierCollapse":
      return `an earlier collapse did not last (step ${caveat.steps.join(", ")})`;
    case "membersChanged":
      return `the ensemble changed from ${caveat.from} to ${caveat.to} members at step ${caveat.step}: mutual information does not compare across sizes, so the search for a peak began again`;
    case "backToUniform":
      return `after the peak at step ${caveat.peakStep} the members returned to near-uniform predictions: that is forgetting, or the end of a confident initialisation, and not agreement`;
    default:
      return refuse(
        "code of a caveat",
        (caveat satisfies never as Caveat).code,
        "that of a caveat of the detector",
      );
  }
}

const level = ({ mutualInformation, shareOfPeak }: { mutualInformation: number; shareOfPeak: number }) =>
  `mutual information is at ${nats(mutualInformation)}, ${percent(shareOfPeak)} of its peak`;
