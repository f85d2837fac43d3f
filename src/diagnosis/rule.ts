/** From estimates of the accuracy on unseen tasks to the state of an ensemble: the rule, and its words. */
import { erf } from "../theory/special.ts";
import { type AccuracyScale, EVENT_LEVEL } from "../uncertainty/events.ts";
import { cycleRange } from "./cycle.ts";
import { ESTIMATOR_NAMES, type Estimates, type EstimatorName } from "./estimators.ts";

export type State = "untrained" | "memorising" | "generalising" | "undecided";

/** An accuracy on prompts without labels. */
export interface AccuracyEstimate {
  value: number;
  /** The interval: what the estimates leave open, and what the number of prompts does. */
  low: number;
  high: number;
}

/** Members as unsure as this share of log C know nothing. */
const UNTRAINED_SHARE = 0.9;

/** A state is told apart from this probability on, and an alarm raised above that one. */
const DECIDED = 2 / 3;
export const ALARM = 1 / 2;

/**
 * How far an estimate may be wrong, in units of the share that it takes for wrong. Members that are wrong together look
 * right, so that it is rather too high than too low.
 */
const DOUBT = { below: 2, above: 1 / 2 };

/** Standard normal deviates of a 95 % interval. */
const Z = 1.96;

/** As it is printed. */
export const RULE = `Estimate: the first there is of ${ESTIMATOR_NAMES.slice(0, 5).join(", ")}. Interval: of cycle from the share of answers that come back to the square root of its 95 % Wilson bound; else from the estimate e less ${DOUBT.below} (1 - e), or from chance where one member has no labels of seen tasks, to e + (1 - e) ${DOUBT.above}; both with 95 % Wilson bounds for so many prompts, and rounded away from e to whole prompts. Probability: that the accuracy is at least ${EVENT_LEVEL} of the way from chance to the ceiling, for a normal error as wide as the interval; at most 1/2 for one member without labels of seen tasks or prompts asked back. State: untrained where the members' mean entropy is at least ${UNTRAINED_SHARE} log C, generalising from a probability of 2/3 on, memorising up to 1/3, undecided between. Alarm: the first of three evaluations in a row that are not untrained and have a probability above 1/2.`;

/** @param prompts how many they were estimated on */
export function combine(estimates: Estimates, prompts: number, scale: AccuracyScale): AccuracyEstimate {
  const name = ESTIMATOR_NAMES.find((each) => estimates[each] !== null)!;
  const value = estimates[name]!;
  const [lowest, highest] =
    name === "cycle"
      ? cycleRange(value, scale, (share) => wilson(share, prompts, 1))
      : doubtRange(value, name, scale);
  return {
    value,
    low: Math.floor(prompts * wilson(lowest, prompts, -1)) / prompts,
    high: Math.ceil(prompts * wilson(highest, prompts, 1)) / prompts,
  };
}

function doubtRange(value: number, name: EstimatorName, { chance }: AccuracyScale): [number, number] {
  // A member's own word for it is worth nothing.
  const lowest =
    name === "confidence" ? Math.min(chance, value) : Math.max(0, value - DOUBT.below * (1 - value));
  return [lowest, value + DOUBT.above * (1 - value)];
}

/** The bound of Wilson (1927) on a share that was found among n. */
function wilson(share: number, n: number, side: 1 | -1): number {
  const centre = share + Z ** 2 / (2 * n);
  const half = Z * Math.sqrt((share * (1 - share)) / n + Z ** 2 / (4 * n ** 2));
  return Math.min(1, Math.max(0, (centre + side * half) / (1 + Z ** 2 / n)));
}

/**
 * That the accuracy is so near the ceiling that the tasks count as solved.
 * @param confirmed whether there is more than a member's own confidence: others, prompts asked back, or labels of seen
 *   tasks
 */
export function generalisedProbability(
  { value, low, high }: AccuracyEstimate,
  { chance, ceiling }: AccuracyScale,
  confirmed: boolean,
): number {
  const needed = chance + EVENT_LEVEL * (ceiling - chance);
  const deviation = (high - low) / (2 * Z);
  const probability = (1 + erf((value - needed) / (deviation * Math.SQRT2))) / 2;
  return confirmed ? probability : Math.min(probability, ALARM);
}

/**
 * @param probability that unseen tasks are solved
 * @param entropyShare expected entropy as a share of log C
 */
export function stateOf(probability: number, entropyShare: number): State {
  if (entropyShare >= UNTRAINED_SHARE) return "untrained";
  if (probability >= DECIDED) return "generalising";
  return probability <= 1 - DECIDED ? "memorising" : "undecided";
}
