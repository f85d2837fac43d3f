/** Statistics of few seeds: medians in which "never" is later than any step, and bootstrap intervals. */
import { generatorOf, uniformIndex } from "../../dist/random.js";

const finite = (value) => (Number.isFinite(value) ? value : null);

/** Of numbers, of which null (it never happened) counts as the largest; null if that is the median. */
export function median(values) {
  if (values.length === 0) return null;
  const sorted = values.map((value) => value ?? Infinity).sort((a, b) => a - b);
  const half = sorted.length / 2;
  return finite((sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2);
}

/** Of the numbers that there are; null without any. */
export const medianOfKnown = (values) => median(values.filter((value) => value !== null));

/** Of the numbers that there are; null without any. */
export function mean(values) {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}

const DRAWS = 2000;

/**
 * 95 % interval of a statistic of groups of values, resampled with replacement: the values of one seed, which share their
 * tasks and prompts, are one group. A draw whose statistic is null counts as above all others.
 * @param groups what `statistic` takes a resample of
 */
export function bootstrap(groups, statistic) {
  if (groups.length < 2) return [null, null];
  const rng = generatorOf([0x626f6f74, groups.length]);
  const draws = Array.from(
    { length: DRAWS },
    () => statistic(groups.map(() => groups[uniformIndex(rng, groups.length)])) ?? Infinity,
  ).sort((a, b) => a - b);
  return [draws[Math.floor(0.025 * DRAWS)], draws[Math.ceil(0.975 * DRAWS) - 1]].map(finite);
}

/**
 * A statistic of one value of each run, with its interval over seeds. Of steps, where null is never, `median`.
 * @param of value of a run
 */
export function overSeeds(runs, of, statistic = medianOfKnown) {
  const value = statistic(runs.map(of));
  return { value, interval: bootstrap(bySeed(runs), (groups) => statistic(groups.flat().map(of))) };
}

export function bySeed(runs) {
  const seeds = [...new Set(runs.map(({ config }) => config.seed))];
  return seeds.map((seed) => runs.filter(({ config }) => config.seed === seed));
}

/** Ranks from 1, equal values sharing the mean of theirs. */
function ranks(values) {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return below + (equal + 1) / 2;
  });
}

export function pearson(xs, ys) {
  const [mx, my] = [mean(xs), mean(ys)];
  let [xy, xx, yy] = [0, 0, 0];
  xs.forEach((x, i) => {
    xy += (x - mx) * (ys[i] - my);
    xx += (x - mx) ** 2;
    yy += (ys[i] - my) ** 2;
  });
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : null;
}

/** Rank correlation of pairs, of which null counts as the largest; null without two different values. */
export function spearman(pairs) {
  const [xs, ys] = [0, 1].map((side) => ranks(pairs.map((pair) => pair[side] ?? Infinity)));
  return xs.length < 3 ? null : pearson(xs, ys);
}

/** Least squares of y on the columns of X and a constant. @returns [constant, ...slopes], null if they are dependent */
export function leastSquares(rows, ys) {
  const design = rows.map((row) => [1, ...row]);
  const size = design[0]?.length ?? 0;
  const system = Array.from({ length: size }, (_, i) => [
    ...Array.from({ length: size }, (_, j) => design.reduce((sum, row) => sum + row[i] * row[j], 0)),
    design.reduce((sum, row, at) => sum + row[i] * ys[at], 0),
  ]);
  for (let column = 0; column < size; column++) {
    const pivot = system
      .slice(column)
      .reduce(
        (best, row, i) => (Math.abs(row[column]) > Math.abs(system[best][column]) ? column + i : best),
        column,
      );
    if (Math.abs(system[pivot][column]) < 1e-9 * rows.length) return null;
    [system[column], system[pivot]] = [system[pivot], system[column]];
    system.forEach((row, i) => {
      if (i === column) return;
      const factor = row[column] / system[column][column];
      row.forEach((_, j) => {
        row[j] -= factor * system[column][j];
      });
    });
  }
  return system.map((row, i) => row[size] / row[i]);
}
