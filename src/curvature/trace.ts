/** Stochastic estimates of the trace and the diagonal of a matrix known by its products. */
import { nextInteger, type RandomGenerator } from "../random.ts";
import { refuse, requireCount, requireKept, requireKeys } from "../validate.ts";
import { meanWithError } from "./lanczos.ts";
import { type LinearOperator, requireOperator } from "./operators.ts";
import { dot, norm, orthogonalise, scale } from "./vector.ts";

/** Independent signs +1 or -1: among all probes with unit variance those of the least variance for a trace. */
export function rademacher(rng: RandomGenerator, length: number): Float64Array {
  return Float64Array.from({ length }, () => (nextInteger(rng) < 0 ? -1 : 1));
}

export interface TraceEstimate {
  estimate: number;
  /** Over the probes; NaN for a single one. */
  standardError: number;
}

/** Hutchinson's estimate: mean of z' A z over `samples` probes. */
export function hutchinsonTrace(
  operator: LinearOperator,
  options: { samples: number; rng: RandomGenerator },
): TraceEstimate {
  requireOperator(operator);
  requireKeys("hutchinsonTrace", options, ["samples", "rng"]);
  const { samples, rng } = options;
  return complementTrace(operator, [], { samples, rng });
}

/**
 * Hutch++ (Meyer, Musco, Musco, Woodruff, arXiv 2010.09649): a third of the products finds a subspace that holds most
 * of the trace, a third takes the trace there, a third is Hutchinson's estimate of the rest. For positive
 * semi-definite matrices the relative error falls as 1 / products instead of 1 / sqrt(products).
 *
 * @param options `products`, their number with A
 * @throws RangeError unless it is a multiple of 3 from 3 to 3 size
 */
export function hutchPlusPlusTrace(
  operator: LinearOperator,
  options: { products: number; rng: RandomGenerator },
): TraceEstimate {
  requireOperator(operator);
  requireKeys("hutchPlusPlusTrace", options, ["products", "rng"]);
  const { products, rng } = options;
  const { size } = operator;
  const third = products / 3;
  if (!(Number.isInteger(third) && third >= 1 && third <= size))
    refuse("products", products, `a multiple of 3 from 3 to ${3 * size}`);
  const basis: Float64Array[] = [];
  for (let i = 0; i < third; i++) {
    const y = operator.matvec(rademacher(rng, size));
    const before = norm(y);
    orthogonalise(y, basis);
    const after = norm(y);
    // What is left of a vector already in the span is rounding noise.
    if (!(after > 1e-10 * before)) continue;
    scale(y, 1 / after);
    basis.push(y);
  }
  const captured = basis.reduce((sum, q) => sum + dot(q, operator.matvec(q)), 0);
  if (basis.length === size) return { estimate: captured, standardError: 0 };
  const { estimate, standardError } = complementTrace(operator, basis, { samples: third, rng });
  return { estimate: captured + estimate, standardError };
}

/** Hutchinson's estimate of the trace on the complement of the orthonormal vectors Q: tr (I - Q Q') A (I - Q Q'). */
export function complementTrace(
  operator: LinearOperator,
  basis: readonly Float64Array[],
  { samples, rng }: { samples: number; rng: RandomGenerator },
): TraceEstimate {
  requireKept("samples", samples);
  return meanWithError(
    Array.from({ length: samples }, () => {
      const z = rademacher(rng, operator.size);
      orthogonalise(z, basis);
      if (!operator.root) return dot(z, operator.matvec(z));
      const y = operator.root.product(z);
      return dot(y, y);
    }),
  );
}

/**
 * Diagonal by Hutchinson's method (Bekas, Kokiopoulou, Saad 2007): mean of z * A z over `samples` sign vectors. The
 * error of element i comes from the off-diagonal elements of row i; its standard error is NaN for a single vector.
 */
export function hutchinsonDiagonal(
  operator: LinearOperator,
  options: { samples: number; rng: RandomGenerator },
): { estimate: Float64Array; standardError: Float64Array } {
  requireOperator(operator);
  requireKeys("hutchinsonDiagonal", options, ["samples", "rng"]);
  const { samples, rng } = options;
  requireCount("samples", samples);
  const { size } = operator;
  const estimate = new Float64Array(size);
  const squares = new Float64Array(size);
  for (let s = 1; s <= samples; s++) {
    const z = rademacher(rng, size);
    const product = operator.matvec(z);
    // Welford's method: the mean square minus the squared mean would cancel.
    for (let i = 0; i < size; i++) {
      const before = z[i] * product[i] - estimate[i];
      estimate[i] += before / s;
      squares[i] += before * (z[i] * product[i] - estimate[i]);
    }
  }
  return { estimate, standardError: squares.map((square) => Math.sqrt(square / (samples - 1) / samples)) };
}
