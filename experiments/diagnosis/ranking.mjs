/** How well scores rank, and what resampled settings make of it. */
import { stream, uniformInt } from "../../dist/random.js";

/** Scores, the higher the more likely to be labelled true, of items that belong to groups (runs). */
export class Ranking {
  /** In order of descending scores: the group of each, whether its label holds, and where the next lower score begins. */
  #groups;
  #labels;
  #ends;

  /** @param items `{ score, label, group }`, groups being integers from 0 */
  constructor(items) {
    const sorted = items.toSorted((a, b) => (a.score === b.score ? 0 : b.score - a.score));
    this.#groups = Int32Array.from(sorted, ({ group }) => group);
    this.#labels = Uint8Array.from(sorted, ({ label }) => Number(label));
    this.#ends = sorted.flatMap(({ score }, i) => (score === sorted[i + 1]?.score ? [] : [i + 1]));
  }

  /**
   * Area under the ROC curve, equal scores counting half; null without both labels.
   * @param weight of each group; default 1
   */
  auroc(weight) {
    let [positives, negatives, area] = [0, 0, 0];
    this.#eachLevel(weight, (right, wrong) => {
      area += wrong * (positives + right / 2);
      positives += right;
      negatives += wrong;
    });
    return positives > 0 && negatives > 0 ? area / (positives * negatives) : null;
  }

  /** Sum over distinct scores of the precision at each, weighted by the recall that it adds. */
  averagePrecision(weight) {
    let [positives, all, sum] = [0, 0, 0];
    this.#eachLevel(weight, (right, wrong) => {
      positives += right;
      all += right + wrong;
      if (right > 0) sum += (right * positives) / all;
    });
    return positives > 0 ? sum / positives : null;
  }

  /** Weights of both labels at each distinct score, the highest first. */
  #eachLevel(weight, take) {
    let i = 0;
    for (const end of this.#ends) {
      let [right, wrong] = [0, 0];
      for (; i < end; i++) {
        const mass = weight ? weight[this.#groups[i]] : 1;
        if (this.#labels[i]) right += mass;
        else wrong += mass;
      }
      take(right, wrong);
    }
  }
}

/** Of ascending order statistics, linearly between two; null of none. */
export function quantile(values, share) {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  return below + (at % 1 === 0 ? 0 : (sorted[Math.ceil(at)] - below) * (at % 1));
}

export const median = (values) => quantile(values, 1 / 2);

/** null of none. */
export const mean = (values) =>
  values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;

const RESAMPLES = 400;

/**
 * 95 % interval of a statistic for a new grid of as many settings: settings are resampled with all their runs, once for
 * those that this grid happens to have and once more for those of the new one.
 * @param settings of each run
 * @param statistic of the number of times that each run is drawn; null where it has none
 */
export function bootstrap(settings, statistic) {
  return intervalOver(settings, 2, statistic);
}

/** The same of a share of runs. */
export function bootstrapShare(settings, statistic) {
  return shareIntervalOver(settings, 2, statistic);
}

/**
 * The same of any groups, with as many draws from draws: 1 for a confidence interval. null of one group.
 * @param count of groups in the last draw; by default as many as there are
 */
export function intervalOver(groups, draws, statistic, count) {
  const names = [...new Set(groups)];
  if (names.length < 2) return null;
  const sizes = Array.from({ length: draws }, (_, i) => (i === draws - 1 && count) || names.length);
  const places = groups.map((group) => names.indexOf(group));
  const rng = stream(0, 0, "evaluation", 0);
  const values = [];
  for (let i = 0; i < RESAMPLES; i++) {
    let drawn = names.map((_, name) => name);
    for (const size of sizes)
      drawn = Array.from({ length: size }, () => drawn[uniformInt(rng, drawn.length)]);
    const times = new Int32Array(names.length);
    for (const name of drawn) times[name]++;
    const value = statistic(Int32Array.from(places, (place) => times[place]));
    if (value !== null) values.push(value);
  }
  return values.length === 0 ? null : [quantile(values, 0.025), quantile(values, 0.975)];
}

/**
 * The same of a share, and at least the Wilson bounds for as many trials as there are groups: where all of them are alike,
 * resampling them cannot tell that others are not. Two draws have the luck of both, and half as many trials.
 */
export function shareIntervalOver(groups, draws, statistic, count = new Set(groups).size) {
  const interval = intervalOver(groups, draws, statistic, count);
  if (interval === null) return null;
  const here = new Set(groups).size;
  const share = statistic(Int32Array.from(groups, () => 1));
  const [low, high] = wilson(share, draws === 1 ? here : 1 / (1 / here + 1 / count));
  return [Math.min(interval[0], low), Math.max(interval[1], high)];
}

/** 95 % interval of a share that was found in so many trials (Wilson 1927). */
function wilson(share, count) {
  const z = 1.96;
  const middle = share + z ** 2 / (2 * count);
  const half = z * Math.sqrt((share * (1 - share)) / count + z ** 2 / (4 * count ** 2));
  // Rounding.
  return [Math.max(0, middle - half), Math.min(1 + z ** 2 / count, middle + half)].map(
    (end) => end / (1 + z ** 2 / count),
  );
}

/** Values of runs, each as often as its run was drawn. */
export const repeated = (values, times) => values.flatMap((value, i) => Array(times[i]).fill(value));

/**
 * Risk and coverage of answers that are given in order of uncertainty, the surest first.
 * @param uncertainty of each prompt
 * @param wrong 1 where its answer is wrong
 * @returns the mean risk over all coverages, and the risk at some; equal uncertainties in the order in which they are
 */
export function riskCoverage(uncertainty, wrong, coverages = [0.25, 0.5, 0.75, 1]) {
  const order = Array.from(uncertainty, (_, i) => i).sort((a, b) => uncertainty[a] - uncertainty[b]);
  let errors = 0;
  const risks = order.map((i, given) => {
    errors += wrong[i];
    return errors / (given + 1);
  });
  return {
    area: mean(risks),
    at: coverages.map((share) => risks[Math.max(0, Math.round(share * risks.length) - 1)]),
  };
}
