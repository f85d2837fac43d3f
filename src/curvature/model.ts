/** What curvature and posteriors need of a model. The core's transformers fit; the tests also use a float64 twin. */

import type { BackpropagatedVectors } from "../core/backpropagated-vectors.ts";
import { type Batch, termsOf } from "../core/batch.ts";
import type { DropoutKey } from "../core/dropout.ts";
import type { FactorSums } from "../core/kronecker.ts";
import type { ParameterInfo } from "../core/layout.ts";
import {
  refuse,
  requireCount,
  requireFunction,
  requireInteger,
  requireList,
  requireObject,
  requirePositiveFloat32,
  requireTypedArray,
  requireWhole,
} from "../validate.ts";
import type { Vector } from "./vector.ts";

export type { Batch };

/** A model with predictions. */
export interface PredictiveModel {
  readonly parameterCount: number;
  readonly parameters: readonly ParameterInfo[];
  readonly shape: {
    readonly dVocab: number;
    readonly dModel: number;
    readonly tiedEmbeddings: boolean;
    readonly dropout?: number;
  };
  /** A copy of the flat parameter vector. */
  getParameters(): Vector;
  /** @throws RangeError for another length */
  setParameters(flat: Vector): void;
  /** Logits (B, P, V); under the dropout masks of a key, if there is one. */
  logits(batch: Batch, dropout?: DropoutKey): Vector;
  /** Input of the unembedding, (B, P, dModel). */
  features(batch: Batch): Vector;
}

/** One with gradients too. */
export interface GradientModel extends PredictiveModel {
  /** Mean NLL over the B P predictions, nats, and its gradient. */
  lossAndGradient(batch: Batch): { loss: number; gradient: Vector };
}

/** One that has memory for curvature too. */
export interface CurvatureModel extends GradientModel {
  /** J v, (B, P, V). */
  jacobianVectorProduct(batch: Batch, v: Vector): Vector;
  /** J' c for c (B, P, V). */
  jacobianTransposeProduct(batch: Batch, cotangent: Vector): Vector;
  /** Hessian of the mean NLL times v. */
  hessianVectorProduct(batch: Batch, v: Vector): Vector;
  /** Mean over predictions of J' (diag p - p p') J, times v. */
  ggnVectorProduct(batch: Batch, v: Vector): Vector;
  /** Diagonal of the GGN summed over predictions, from gradients of `chunk` sequences at a time. */
  ggnDiagonal(batch: Batch, vectors: BackpropagatedVectors, chunk?: number): Float64Array;
}

/** One that has memory for Kronecker factors too. */
export interface KroneckerModel extends CurvatureModel {
  /** Sums over the batch that make Kronecker factors of the GGN, one entry a tensor in flat order. */
  kroneckerFactors(batch: Batch, vectors: BackpropagatedVectors): FactorSums[];
}

/** @throws RangeError for what is no model */
export function requireModel(model: PredictiveModel): void {
  requireObject("model", model);
  requireCount("model.parameterCount", model.parameterCount);
  requireObject("model.shape", model.shape);
  requireList("model.parameters", model.parameters);
  for (const method of ["getParameters", "setParameters", "logits", "features"] as const)
    requireFunction(`model.${method}`, model[method]);
}

/** @throws Error for a model that has no memory for gradients */
function requireGradients(model: PredictiveModel): asserts model is GradientModel {
  requireModel(model);
  if (!("lossAndGradient" in model))
    throw new Error("model: got one without gradients, must be created with gradients: true");
}

/** @throws Error for a model that has no memory for curvature */
export function requireCurvature(model: PredictiveModel): asserts model is CurvatureModel {
  requireModel(model);
  if (!("jacobianVectorProduct" in model))
    throw new Error("model: got one without curvature products, must be created with curvature: true");
}

/** @throws Error for a model that has no memory for Kronecker factors */
export function requireKronecker(model: PredictiveModel): asserts model is KroneckerModel {
  if (!("kroneckerFactors" in model))
    throw new Error("model: got one without kroneckerFactors, must be created with kronecker: true");
}

/**
 * Number of predictions of all batches.
 * @throws RangeError if there is none
 */
export function totalTerms(batches: readonly Batch[]): number {
  if (!Array.isArray(batches)) refuse("batches", batches, "a list of batches");
  batches.forEach((batch: Batch, i) => {
    requireTypedArray(
      `batches[${i}].positions`,
      requireObject(`batches[${i}]`, batch).positions,
      "Int32Array",
    );
    requireWhole(`batches[${i}].batchSize`, batch.batchSize);
  });
  const terms = batches.reduce((sum, batch) => sum + termsOf(batch), 0);
  if (terms === 0) refuse("batches", "no prediction", "at least one");
  return terms;
}

/** Where counts stop being whole numbers in float64. */
const MOST_TERMS = Number.MAX_SAFE_INTEGER;

/** A number of terms of a likelihood, N: above 0, not necessarily whole. */
export function requireTerms(name: string, value: number): number {
  if (!(value > 0 && value <= MOST_TERMS)) refuse(name, value, `above 0 and at most ${MOST_TERMS}`);
  return requirePositiveFloat32(name, value);
}

/** Mean NLL of all predictions of the batches, nats. */
export function meanLoss(model: PredictiveModel, batches: readonly Batch[]): number {
  requireModel(model);
  const terms = totalTerms(batches);
  let sum = 0;
  for (const batch of batches) {
    const logits = model.logits(batch);
    const { dVocab } = model.shape;
    for (let row = 0; row < termsOf(batch); row++) {
      const z = logits.subarray(row * dVocab, (row + 1) * dVocab);
      sum += logSumExp(z) - z[requireInteger(`targets[${row}]`, batch.targets[row], 0, dVocab - 1)];
    }
  }
  return sum / terms;
}

/** Mean NLL of all predictions of the batches, nats, and its gradient, summed in float64. */
export function meanLossAndGradient(
  model: GradientModel,
  batches: readonly Batch[],
): { loss: number; gradient: Float64Array } {
  requireGradients(model);
  const terms = totalTerms(batches);
  const total = new Float64Array(model.parameterCount);
  let mean = 0;
  for (const batch of batches) {
    const weight = termsOf(batch) / terms;
    const { loss, gradient } = model.lossAndGradient(batch);
    mean += weight * loss;
    for (let i = 0; i < total.length; i++) total[i] += weight * gradient[i];
  }
  return { loss: mean, gradient: total };
}

function logSumExp(z: Vector): number {
  let max = -Infinity;
  for (let c = 0; c < z.length; c++) max = Math.max(max, z[c]);
  let sum = 0;
  for (let c = 0; c < z.length; c++) sum += Math.exp(z[c] - max);
  return max + Math.log(sum);
}

/**
 * Softmax of each row of logits (rows, classes), in float64.
 * @throws RangeError for logits that are not finite
 */
export function softmaxRows(logits: Vector, classes: number): Float64Array {
  const p = new Float64Array(logits.length);
  for (let start = 0; start < logits.length; start += classes) {
    const z = logits.subarray(start, start + classes);
    const normaliser = logSumExp(z);
    if (!Number.isFinite(normaliser))
      refuse("logits", `${normaliser} at prediction ${start / classes}`, "finite numbers");
    for (let c = 0; c < classes; c++) p[start + c] = Math.exp(z[c] - normaliser);
  }
  return p;
}

/** Place of the largest of p[start .. start + classes). */
function likeliest(p: Vector, start: number, classes: number): number {
  let top = start;
  for (let c = start + 1; c < start + classes; c++) if (p[c] > p[top]) top = c;
  return top;
}

/**
 * 1 - p for each element of p (rows, classes). Of a class that is nearly certain it is the sum of the others: the
 * difference would cancel.
 */
export function complements(p: Vector, classes: number): Float64Array {
  const out = Float64Array.from(p, (x) => 1 - x);
  for (let start = 0; start < p.length; start += classes) {
    const top = likeliest(p, start, classes);
    out[top] = 0;
    for (let c = start; c < start + classes; c++) if (c !== top) out[top] += p[c];
  }
  return out;
}

/**
 * (diag p - p p') u for each row of p and u (rows, classes): the Hessian of the NLL in the logits. Taken relative to u of
 * the likeliest class, so that nothing cancels where that is nearly certain.
 */
export function logitHessianProduct(p: Vector, u: Vector, classes: number): Float64Array {
  const out = new Float64Array(u.length);
  for (let start = 0; start < u.length; start += classes) {
    const origin = u[likeliest(p, start, classes)];
    let mean = 0;
    for (let c = start; c < start + classes; c++) mean += p[c] * (u[c] - origin);
    for (let c = start; c < start + classes; c++) out[c] = p[c] * (u[c] - origin - mean);
  }
  return out;
}

/**
 * S = diag sqrt p - p sqrt(p)' of each row of p (rows, classes): a root of the Hessian of the NLL in the logits, S S' =
 * diag p - p p'. Nothing cancels where a class is nearly certain.
 */
export class LogitRoot {
  readonly p: Float64Array;
  readonly #classes: number;
  readonly #others: Float64Array;

  constructor(p: Float64Array, classes: number) {
    this.p = p;
    this.#classes = classes;
    this.#others = complements(p, classes);
  }

  /** S' u, row by row. */
  transposed(u: Vector): Float64Array {
    const { p } = this;
    const out = new Float64Array(u.length);
    for (let start = 0; start < u.length; start += this.#classes) {
      const end = start + this.#classes;
      const origin = u[likeliest(p, start, this.#classes)];
      let mean = 0;
      for (let c = start; c < end; c++) mean += p[c] * (u[c] - origin);
      for (let c = start; c < end; c++) out[c] = Math.sqrt(p[c]) * (u[c] - origin - mean);
    }
    return out;
  }

  /** S y, row by row. */
  product(y: Vector): Float64Array {
    const { p } = this;
    const out = new Float64Array(y.length);
    for (let start = 0; start < y.length; start += this.#classes) {
      const end = start + this.#classes;
      const top = likeliest(p, start, this.#classes);
      let rest = 0;
      for (let c = start; c < end; c++) if (c !== top) rest += Math.sqrt(p[c]) * y[c];
      const ofTop = Math.sqrt(p[top]) * y[top];
      for (let c = start; c < end; c++) out[c] = Math.sqrt(p[c]) * y[c] - p[c] * (ofTop + rest);
      out[top] = ofTop * this.#others[top] - p[top] * rest;
    }
    return out;
  }
}
