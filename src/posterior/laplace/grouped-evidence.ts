/**
 * The Laplace approximation of the log evidence with the prior N(0, D^-1), D = delta_g on the n_g parameters of group g:
 * log p(D | theta*) - 1/2 [ log |H + D| + sum_g (delta_g |theta*_g|^2 - n_g log delta_g) ].
 * As |H + D| is a polynomial of the delta_g with coefficients (principal minors of H) of at least 0, its logarithm is
 * convex in the log delta_g, and the evidence concave: it has one maximum.
 */

import { Matrix, solve } from "ml-matrix";
import type { ParameterGroup } from "../../curvature/groups.ts";
import { dot } from "../../curvature/vector.ts";
import {
  refuse,
  requireFinite,
  requireLength,
  requireList,
  requireNonNegative,
  requireObject,
} from "../../validate.ts";
import { type Curvature, requireStructure } from "../gaussian/curvature.ts";
import { Gaussian } from "../gaussian/gaussian.ts";
import { type GroupedPrior, requireGroupList, spread } from "../gaussian/prior.ts";
import { SpectralCurvature } from "../gaussian/spectral.ts";
import { maximiseEvidence, PRIOR_PRECISION_RANGE } from "./evidence.ts";

export interface GroupedEvidenceTerms {
  curvature: Curvature;
  /** log p(D | theta*), nats. */
  logLikelihood: number;
  /** Consecutive ranges that cover the parameters of the posterior. */
  groups: readonly ParameterGroup[];
  /** |theta*_g|^2 of each. */
  squaredNorms: ArrayLike<number>;
}

function requireTerms(terms: GroupedEvidenceTerms): void {
  const { curvature, groups, squaredNorms } = requireObject("terms", terms);
  requireStructure(curvature);
  requireGroupList(groups);
  requireList("squaredNorms", squaredNorms);
  requireLength("squaredNorms", squaredNorms as ArrayLike<unknown>, groups.length);
  for (let g = 0; g < groups.length; g++) requireNonNegative(`squaredNorms[${g}]`, squaredNorms[g]);
}

/** @throws RangeError unless there is a positive prior precision for each group */
export function logGroupedEvidence(terms: GroupedEvidenceTerms, precisions: Float64Array): number {
  requireTerms(terms);
  const { curvature, logLikelihood, groups, squaredNorms } = terms;
  requireFinite("logLikelihood", logLikelihood);
  const gaussian = new Gaussian(curvature, priorOf(groups, precisions));
  let occam = gaussian.logDeterminant();
  groups.forEach(({ length }, g) => {
    occam += precisions[g] * squaredNorms[g] - length * Math.log(precisions[g]);
  });
  return logLikelihood - occam / 2;
}

/** Its derivatives with respect to log delta_g: (effective parameters of the group - delta_g |theta*_g|^2) / 2. */
export function groupedEvidenceSlope(terms: GroupedEvidenceTerms, precisions: Float64Array): Float64Array {
  requireTerms(terms);
  const { curvature, groups, squaredNorms } = terms;
  const variances = new Gaussian(curvature, priorOf(groups, precisions)).variance();
  return Float64Array.from(groups, ({ offset, length }, g) => {
    const variance = variances.subarray(offset, offset + length).reduce((sum, x) => sum + x, 0);
    return (length - precisions[g] * (variance + squaredNorms[g])) / 2;
  });
}

// What the Gaussian makes of them does not depend on the structure's name.
const priorOf = (groups: readonly ParameterGroup[], precisions: Float64Array): GroupedPrior => ({
  ...{ structure: "layerwise", groups, precisions },
});

/**
 * The prior precisions of largest evidence, each from 1e-10 to 1e10. Groups that the curvature does not couple are
 * maximised one by one.
 * @throws RangeError for a curvature that couples groups and is not decomposed
 */
export function maximiseGroupedEvidence(terms: GroupedEvidenceTerms): Float64Array {
  requireTerms(terms);
  const { curvature, groups, squaredNorms } = terms;
  const parts = groups.map(({ offset, length }) => curvature.part(offset, length));
  if (parts.every((part) => part !== null))
    return Float64Array.from(parts, (part, g) =>
      maximiseEvidence({ curvature: part, logLikelihood: 0, squaredNorm: squaredNorms[g] }),
    );
  if (!(curvature instanceof SpectralCurvature))
    refuse("curvature", "one that couples groups", "decomposed for a maximum over their prior precisions");
  return newton(curvature, terms);
}

const [LOWEST, HIGHEST] = PRIOR_PRECISION_RANGE.map(Math.log);
/** Largest change of a log delta in one step, and where it is small enough to end. */
const [LONGEST_STEP, ACCURACY] = [4, 1e-9];
/** From one end of the range to the other takes a dozen of the longest steps. */
const MOST_STEPS = 200;

/** Newton's method in t = log delta, within the range, halving steps that do not raise the evidence. */
function newton(curvature: SpectralCurvature, terms: GroupedEvidenceTerms): Float64Array {
  const start = Math.log(maximiseEvidence({ ...terms, squaredNorm: sum(terms.squaredNorms) }));
  let t = new Float64Array(terms.groups.length).fill(start);
  let here = expansion(curvature, terms, t);
  for (let step = 0; step < MOST_STEPS; step++) {
    const direction = newtonDirection(here, t);
    const longest = direction.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    if (longest < ACCURACY) break;
    let [share, next, there] = [Math.min(1, LONGEST_STEP / longest), t, here];
    do {
      next = t.map((x, g) => Math.min(HIGHEST, Math.max(LOWEST, x + share * direction[g])));
      there = expansion(curvature, terms, next);
      share /= 2;
    } while (there.value < here.value && share * longest > ACCURACY);
    // What is left is rounding.
    if (there.value < here.value) break;
    [t, here] = [next, there];
  }
  return t.map(Math.exp);
}

/** Evidence without the likelihood, its gradient and minus its Hessian (G, G) in t. */
interface Expansion {
  value: number;
  gradient: Float64Array;
  curvature: Matrix;
}

/**
 * With Sigma = (H + D)^-1 = b^(-1/2) (I - Q diag w Q') b^(-1/2), w = s / (1 + s), from the eigenpairs s, Q of H~: the
 * gradient is (n_g - delta_g (tr Sigma_gg + |theta*_g|^2)) / 2, and the derivative of delta_g tr Sigma_gg by t_h is that
 * term itself for h = g, less delta_g delta_h |Sigma_gh|^2 (Frobenius).
 */
function expansion(
  structure: SpectralCurvature,
  { groups, squaredNorms }: GroupedEvidenceTerms,
  t: Float64Array,
): Expansion {
  const delta = t.map(Math.exp);
  const { base, curvature: inner } = structure.whitened(
    spread({ groups, precisions: delta }, structure.size),
  );
  const pairs = inner instanceof SpectralCurvature ? inner : { eigenvalues: [], eigenvectors: [] };
  const overlaps = groups.map(({ offset, length }) => overlapWithin(pairs, offset, offset + length));
  const traces = overlaps.map(({ trace }, g) => (groups[g].length - trace) / base[groups[g].offset]);
  let value = 0;
  for (const s of pairs.eigenvalues) value -= Math.log1p(s) / 2;
  const gradient = new Float64Array(groups.length);
  const curvature = Matrix.zeros(groups.length, groups.length);
  groups.forEach(({ length, offset }, g) => {
    const penalty = delta[g] * squaredNorms[g];
    value -= (length * (Math.log(base[offset]) - t[g]) + penalty) / 2;
    gradient[g] = (length - delta[g] * traces[g] - penalty) / 2;
    groups.forEach((other, h) => {
      let square = dot(overlaps[g].matrix, overlaps[h].matrix);
      if (g === h) square += length - 2 * overlaps[g].trace;
      const coupling = (delta[g] * delta[h] * square) / (base[offset] * base[other.offset]);
      curvature.set(g, h, ((g === h ? delta[g] * traces[g] + penalty : 0) - coupling) / 2);
    });
  });
  return { value, gradient, curvature };
}

/** E_ij = sqrt(w_i w_j) (q_i . q_j) over a range, (k, k), and its trace. */
function overlapWithin(
  {
    eigenvalues,
    eigenvectors,
  }:
    | Pick<SpectralCurvature, "eigenvalues" | "eigenvectors">
    | { eigenvalues: never[]; eigenvectors: never[] },
  from: number,
  to: number,
): { matrix: Float64Array; trace: number } {
  const k = eigenvectors.length;
  const root = Float64Array.from(eigenvalues, (s) => Math.sqrt(s / (1 + s)));
  const matrix = new Float64Array(k * k);
  let trace = 0;
  for (let i = 0; i < k; i++) {
    const own = eigenvectors[i].subarray(from, to);
    for (let j = 0; j <= i; j++)
      matrix[i * k + j] = matrix[j * k + i] =
        root[i] * root[j] * dot(own, eigenvectors[j].subarray(from, to));
    trace += matrix[i * k + i];
  }
  return { matrix, trace };
}

/** Of the coordinates that are not held at an end of the range; the others stay. */
function newtonDirection({ gradient, curvature }: Expansion, t: Float64Array): Float64Array {
  const free = Array.from(t.keys()).filter(
    (g) => !((t[g] <= LOWEST && gradient[g] < 0) || (t[g] >= HIGHEST && gradient[g] > 0)),
  );
  const direction = new Float64Array(t.length);
  if (free.length === 0) return direction;
  const hessian = curvature.selection(free, free);
  // Where the evidence hardly depends on a group, its row is rounding.
  const ridge = 1e-14 * Math.max(...hessian.diagonal()) + Number.MIN_VALUE;
  free.forEach((_, i) => {
    hessian.set(i, i, hessian.get(i, i) + ridge);
  });
  const solved = solve(hessian, Matrix.columnVector(free.map((g) => gradient[g])));
  free.forEach((g, i) => {
    direction[g] = solved.get(i, 0);
  });
  return direction;
}

function sum(values: ArrayLike<number>): number {
  return Array.from(values).reduce((a, b) => a + b, 0);
}
