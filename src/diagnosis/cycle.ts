/**
 * The accuracy from prompts asked back: the query and a member's own answer take the place of an example, whose input is
 * asked in its turn. If the member comes back to what the prompt shows there, its answer was hardly anything but right:
 * a wrong one is of another task, which leads elsewhere. So members that are wrong in the same way do not look right.
 *
 * Who is right at first need not be on the way back. Where each prompt is solved both ways or not at all, the share that
 * comes back is the accuracy; where the two ways have nothing to do with each other it is the square. The estimate is
 * half-way between. Shares count from what comes back by chance, 0, to what can come back, 1; accuracies likewise from
 * chance to the ceiling.
 */
import type { AccuracyScale } from "../uncertainty/events.ts";
import { argmax } from "../uncertainty/rows.ts";
import type { CyclePrediction, EnsemblePrediction } from "./ensemble.ts";

/** Of the ensemble's answers: of how many the members that give them come back, in their mean prediction. */
export function returnedShare(unseen: EnsemblePrediction, cycle: CyclePrediction): number {
  const { answers, memberAnswers, classes } = unseen;
  const sum = new Float64Array(classes);
  let returned = 0;
  for (const [b, answer] of answers.entries()) {
    sum.fill(0);
    const supporters = cycle.memberProbabilities.filter((_, m) => memberAnswers[m][b] === answer);
    for (const p of supporters) for (let c = 0; c < classes; c++) sum[c] += p[b * classes + c];
    if (supporters.length > 0 && argmax(sum, 0, classes) === Number(cycle.targets[b])) returned++;
  }
  const { chance, ceiling } = cycle.scale;
  return within01((returned / answers.length - chance) / (ceiling - chance));
}

export const accuracyOfShare = (share: number, scale: AccuracyScale) =>
  onScale((share + Math.sqrt(share)) / 2, scale);

/**
 * What the accuracy may be whose estimate is `value`: from the share to its square root.
 * @param highest that a share may be, of so many prompts
 */
export function cycleRange(
  value: number,
  scale: AccuracyScale,
  highest: (share: number) => number,
): [number, number] {
  const middle = within01((value - scale.chance) / (scale.ceiling - scale.chance));
  const root = (Math.sqrt(1 + 8 * middle) - 1) / 2;
  const share = root ** 2;
  return [onScale(share, scale), onScale(Math.sqrt(highest(share)), scale)];
}

const onScale = (share: number, { chance, ceiling }: AccuracyScale) => chance + share * (ceiling - chance);

const within01 = (share: number) => Math.min(1, Math.max(0, share));
