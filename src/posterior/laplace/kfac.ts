/**
 * KFAC: the GGN of each weight matrix as one Kronecker product (Martens and Grosse 2015, arXiv 1503.05671), of LayerNorm
 * vectors the diagonal. A layer y = W a on R rows has left (x) right / R with left = sum g g' and right = sum a a' over
 * its rows, which treats the rows of a sequence as independent (Eschenhagen et al. 2023, arXiv 2311.00636, "expand").
 */
import type { FactorSums, KroneckerSums } from "../../core/kronecker.ts";
import { type Batch, type PredictiveModel, requireKronecker, totalTerms } from "../../curvature/model.ts";
import { spectralNoise, unitRoundoff } from "../../curvature/rounding.ts";
import { addScaled, type Vector } from "../../curvature/vector.ts";
import { requireCount } from "../../validate.ts";
import { BlockCurvature } from "../gaussian/block.ts";
import type { Curvature } from "../gaussian/curvature.ts";
import { DiagonalCurvature } from "../gaussian/diagonal.ts";
import { KroneckerCurvature } from "../gaussian/kronecker.ts";

export interface KfacOptions {
  /** Random vectors backpropagated per prediction, or `exact`: one per prediction and class (see `BackpropagatedVectors`). */
  probes: number | "exact";
  seed: number;
}

/**
 * factor x the Kronecker-factored approximation of the mean GGN, one block per parameter tensor.
 * @throws RangeError for an empty list of batches or a number of probes that is not positive
 */
export function kroneckerFactored(
  model: PredictiveModel,
  batches: readonly Batch[],
  factor: number,
  { probes, seed }: KfacOptions,
): BlockCurvature {
  const mean = factor / totalTerms(batches);
  if (probes !== "exact") requireCount("probes", probes);
  requireKronecker(model);
  const roundoff = unitRoundoff(model);
  const layers = sumOverBatches(
    batches.map((batch, stream) =>
      model.kroneckerFactors(batch, probes === "exact" ? probes : { probes, seed, stream }),
    ),
  );
  return new BlockCurvature(
    model.parameters.map(({ name, shape: [rows, columns] }): Curvature => {
      const uses = layers.filter((layer) => layer.name === name);
      const [first] = uses;
      if ("squares" in first) return new DiagonalCurvature(Float64Array.from(first.squares, (x) => mean * x));
      const { left, right } = nearestProduct(uses as KroneckerSums[], rows, columns);
      return KroneckerCurvature.fromFactors(
        left.map((x) => mean * x),
        rows,
        right,
        columns,
        (size) => spectralNoise(size, roundoff),
      );
    }),
  );
}

/** Sums of lists that name the same layers in the same order, in float64. */
function sumOverBatches(lists: readonly (readonly FactorSums[])[]): FactorSums[] {
  const add = (pick: (list: readonly FactorSums[]) => Vector) => {
    const sum = Float64Array.from(pick(lists[0]));
    for (const list of lists.slice(1)) addScaled(sum, 1, pick(list));
    return sum;
  };
  return lists[0].map((layer, i): FactorSums => {
    if ("squares" in layer) return { ...layer, squares: add((list) => (list[i] as typeof layer).squares) };
    const same = (list: readonly FactorSums[]) => list[i] as KroneckerSums;
    return {
      ...layer,
      left: add((list) => same(list).left),
      right: add((list) => same(list).right),
      terms: lists.reduce((sum, list) => sum + same(list).terms, 0),
    };
  });
}

/**
 * One product L (x) R for the sum of B_u (x) A_u / R_u over the uses u of a matrix: the one with its partial traces,
 *   L = sum B_u tr A_u / R_u,  R = sum A_u tr B_u / R_u,  the product divided by the common trace of both.
 * For a single use that is the product itself; with tied embeddings neither use's scale of gradients against inputs
 * matters.
 */
function nearestProduct(
  uses: readonly KroneckerSums[],
  rows: number,
  columns: number,
): { left: Float64Array; right: Float64Array } {
  const left = new Float64Array(rows ** 2);
  const right = new Float64Array(columns ** 2);
  for (const use of uses) {
    addScaled(left, trace(use.right, columns) / use.terms, use.left);
    addScaled(right, trace(use.left, rows) / use.terms, use.right);
  }
  const total = trace(left, rows);
  // Without any gradient there is no curvature.
  if (total > 0) for (let i = 0; i < right.length; i++) right[i] /= total;
  return { left, right };
}

function trace(matrix: Vector, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += matrix[i * n + i];
  return sum;
}
