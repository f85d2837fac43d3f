/** Least squares and logistic regression with a ridge, on standardised columns; items have weights. */
import { Matrix, solve } from "ml-matrix";

const ROUNDS = 30;

/** Linear: target of a row of features. */
export function fitLinear(rows, targets, weights, ridge) {
  const { design, scale } = standardised(rows, weights);
  const coefficients = weightedSolve(design, targets, weights, ridge);
  return (row) => dot(coefficients, scale(row));
}

/** Logistic: probability that a row is labelled 1. Newton's method. */
export function fitLogistic(rows, labels, weights, ridge) {
  const { design, scale } = standardised(rows, weights);
  let coefficients = design[0].map(() => 0);
  for (let round = 0; round < ROUNDS; round++) {
    const p = design.map((x) => logistic(dot(coefficients, x)));
    const curvature = p.map((each, i) => weights[i] * Math.max(each * (1 - each), 1e-6));
    const working = p.map(
      (each, i) => dot(coefficients, design[i]) + (weights[i] * (labels[i] - each)) / curvature[i],
    );
    coefficients = weightedSolve(design, working, curvature, ridge);
  }
  return (row) => logistic(dot(coefficients, scale(row)));
}

const logistic = (x) => 1 / (1 + Math.exp(-x));
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

/** With a column of ones before them. */
function standardised(rows, weights) {
  const total = weights.reduce((sum, w) => sum + w, 0);
  const columns = rows[0].map((_, j) => {
    const centre = rows.reduce((sum, row, i) => sum + weights[i] * row[j], 0) / total;
    const spread = Math.sqrt(
      rows.reduce((sum, row, i) => sum + weights[i] * (row[j] - centre) ** 2, 0) / total,
    );
    return { centre, spread: spread > 0 ? spread : 1 };
  });
  const scale = (row) => [1, ...row.map((value, j) => (value - columns[j].centre) / columns[j].spread)];
  return { design: rows.map(scale), scale };
}

/** The ridge is a share of all weights, and not on the first column. */
function weightedSolve(design, targets, weights, ridge) {
  const size = design[0].length;
  const total = weights.reduce((sum, w) => sum + w, 0);
  const gram = Matrix.zeros(size, size);
  const right = Matrix.zeros(size, 1);
  for (const [i, x] of design.entries())
    for (let a = 0; a < size; a++) {
      right.set(a, 0, right.get(a, 0) + weights[i] * x[a] * targets[i]);
      for (let b = 0; b < size; b++) gram.set(a, b, gram.get(a, b) + weights[i] * x[a] * x[b]);
    }
  for (let a = 1; a < size; a++) gram.set(a, a, gram.get(a, a) + ridge * total);
  return solve(gram, right).to1DArray();
}
