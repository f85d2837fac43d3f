/** Curvature of the parts of a network: the blocks of a matrix on its diagonal. */
import type { RandomGenerator } from "../random.ts";
import {
  refuse,
  requireCount,
  requireInteger,
  requireKeys,
  requireLength,
  requireObject,
} from "../validate.ts";
import type { ParameterGroup } from "./groups.ts";
import { extremeEigenpairs } from "./lanczos.ts";
import { type LinearOperator, requireOperator } from "./operators.ts";
import { hutchPlusPlusTrace, type TraceEstimate } from "./trace.ts";

/**
 * The block of a matrix on a range of its rows and columns.
 * @throws RangeError for a range that is not inside
 */
export function blockOperator(
  operator: LinearOperator,
  group: Pick<ParameterGroup, "offset" | "length">,
): LinearOperator {
  requireOperator(operator);
  const { size, noise, root } = operator;
  const { offset, length } = requireObject("group", group);
  requireInteger("offset", offset, 0, size - 1);
  requireCount("length", length, size - offset);
  const padded = (v: Float64Array) => {
    requireLength("v", v, length);
    const whole = new Float64Array(size);
    whole.set(v, offset);
    return whole;
  };
  const cut = (whole: Float64Array) => whole.slice(offset, offset + length);
  return {
    size: length,
    // Products round relative to themselves, so that what is left of 0 is relative to the block's own eigenvalues.
    noise,
    matvec: (v) => cut(operator.matvec(padded(v))),
    ...(root && {
      root: { product: (v) => root.product(padded(v)), transposed: (y) => cut(root.transposed(y)) },
    }),
  };
}

export interface GroupCurvatureOptions {
  /** Eigenvalues of each block from the top, as far as it has so many. Default 1. */
  k?: number;
  /** Whether to look for the most negative (or smallest) one as well. Default false. */
  smallest?: boolean;
  /** Largest residual of an eigenpair as a fraction of the block's largest |eigenvalue|. Default 1e-3. */
  tolerance?: number;
  /** Products for the trace of each block, a multiple of 3; it is exact where the block is no larger. Default 30. */
  products?: number;
  rng: RandomGenerator;
}

/** The curvature of one group of parameters. */
export interface GroupCurvature {
  name: string;
  /** How many it has. */
  parameters: number;
  /** Descending. */
  largest: Float64Array;
  /** null if it was not asked for. */
  smallest: number | null;
  /** Whether all eigenvalues met the tolerance, and a search found no others beyond; if not, they are bounds. */
  converged: boolean;
  /** By Hutch++, or exact. */
  trace: TraceEstimate;
}

/** A product for each element of the diagonal. */
function exactTrace({ size, matvec }: LinearOperator): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += matvec(new Float64Array(size).fill(1, i, i + 1))[i];
  return sum;
}

/**
 * Eigenvalues and trace of each block on the diagonal. The traces add up to that of the whole matrix; its eigenvalues are
 * none of those of its blocks, but the largest of all is at least as large as each of theirs.
 * @throws RangeError for an option outside its range, or a group outside the matrix
 */
export function curvatureByGroup(
  operator: LinearOperator,
  groups: readonly ParameterGroup[],
  options: GroupCurvatureOptions,
): GroupCurvature[] {
  requireOperator(operator);
  if (!Array.isArray(groups)) refuse("groups", groups, "a list");
  requireKeys("curvatureByGroup", options, ["k", "smallest", "tolerance", "products", "rng"]);
  const { k = 1, smallest = false, tolerance = 1e-3, products = 30, rng } = options;
  requireCount("k", k);
  return groups.map((group) => {
    const { name, length } = group;
    const block = blockOperator(operator, group);
    const top = extremeEigenpairs(block, { k: Math.min(k, length), rng, tolerance });
    const bottom = smallest ? extremeEigenpairs(block, { k: 1, which: "smallest", rng, tolerance }) : null;
    return {
      ...{ name, parameters: length },
      largest: top.eigenvalues,
      smallest: bottom?.eigenvalues[0] ?? null,
      converged: top.converged && bottom?.converged !== false,
      trace:
        length <= products
          ? { estimate: exactTrace(block), standardError: 0 }
          : hutchPlusPlusTrace(block, { products, rng }),
    };
  });
}
