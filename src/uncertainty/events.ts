/** What a labelled event is: an accuracy that is near its ceiling and stays there. */
import { refuse, requireCount, requirePositiveFraction } from "../validate.ts";

/** Share of the way from chance to the ceiling that accuracy must reach. */
export const EVENT_LEVEL = 0.9;

/** Number of evaluations in a row that make an event, a collapse, or the end of one: one noisy evaluation is none. */
export const SUSTAINED_EVALUATIONS = 3;

/** Rounding allowed in means of accuracies and of probabilities. */
const ROUNDING = 1e-9;

/** A ceiling this close to chance leaves nothing to learn: no accuracy is meaningful progress. */
const SMALLEST_GAIN = 1e-6;

export interface AccuracyPoint {
  step: number;
  /** Top-1 accuracy, 0..1. */
  accuracy: number;
}

/** What guessing reaches and what the Bayes-optimal predictor reaches. */
export interface AccuracyScale {
  chance: number;
  ceiling: number;
}

/** (accuracy - chance) / (ceiling - chance); null where the ceiling does not exceed chance. May exceed 1. */
export function normalisedAccuracy(accuracy: number, { chance, ceiling }: AccuracyScale): number | null {
  for (const [name, value] of Object.entries({ accuracy, chance, ceiling })) {
    if (!(value >= 0 && value <= 1 + ROUNDING)) refuse(name, value, "from 0 to 1");
  }
  return ceiling - chance > SMALLEST_GAIN ? (accuracy - chance) / (ceiling - chance) : null;
}

/**
 * The step of the first evaluation from which the normalised accuracy is at least `level` for `evaluations`
 * evaluations in a row; null if there is none. The event is known only at the last of them, so a run that ends
 * earlier has not shown it: two good evaluations at the very end are no event. A later fall does not undo it.
 *
 * @param trajectory evaluations in order of strictly increasing step
 * @throws RangeError for steps out of order, accuracies outside 0..1, a level outside (0, 1], a bad count
 */
export function firstSustained(
  trajectory: readonly AccuracyPoint[],
  scale: AccuracyScale,
  { level = EVENT_LEVEL, evaluations = SUSTAINED_EVALUATIONS } = {},
): number | null {
  requirePositiveFraction("level", level);
  requireCount("evaluations", evaluations);
  let run = 0;
  let first: number | null = null;
  trajectory.forEach(({ step, accuracy }, i) => {
    if (!Number.isFinite(step) || (i > 0 && step <= trajectory[i - 1].step)) {
      refuse(`trajectory[${i}].step`, step, "finite and above the step before it");
    }
    const progress = normalisedAccuracy(accuracy, scale);
    run = progress !== null && progress >= level ? run + 1 : 0;
    if (run === evaluations) first ??= trajectory[i - evaluations + 1].step;
  });
  return first;
}

export interface LabelledEvents {
  /** First sustained accuracy on what is trained, at the last position: the pool, or seen tasks with seen inputs. */
  memorisedStep: number | null;
  /** The same on fresh prompts of seen tasks; there exactly with a pool, since without one it is the memorised step. */
  generalisedStep?: number | null;
  /** The same on unseen tasks. */
  grokStep: number | null;
}

/** The run's own events are those of its median member. */
export interface LabelledRun extends LabelledEvents {
  /** Normalised accuracy at the last evaluation; null without evaluations or where nothing can be learnt. */
  final: {
    seenTasks: number | null;
    unseenTasks: number | null;
    /** There exactly with a pool. */
    trainPrompts?: number | null;
  };
  /** Of the mean of the members' predictions, which is right as soon as their errors differ. */
  meanPrediction: LabelledEvents;
  perMember: (LabelledEvents & { member: number })[];
}
