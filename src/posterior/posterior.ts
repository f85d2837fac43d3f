/** What every approximate posterior over the parameters of one model can do. */

import { type Batch, type PredictiveModel, requireModel, softmaxRows } from "../curvature/model.ts";
import type { RandomGenerator } from "../random.ts";
import type { Safetensors } from "../safetensors.ts";
import { refuse, requireKept, requireKeys } from "../validate.ts";

/** How often to draw from a posterior, and from which generator. */
export interface PredictOptions {
  /** S, number of draws. */
  nSamples: number;
  rng: RandomGenerator;
}

/**
 * A fitted posterior. Each method module has `fit...` to make one and a static `load` that undoes `save`.
 */
export interface Posterior {
  readonly method: string;
  /** Length of the flat parameter vector it belongs to. */
  readonly parameterCount: number;
  /** One draw of the flat parameter vector. */
  sample(rng: RandomGenerator): Float32Array;
  /**
   * Predictive probabilities of S draws, each (B, P, V), ready for the entropy decomposition. Leaves the model with
   * parameters of the posterior's choice.
   *
   * @throws RangeError if the model has another number of parameters
   */
  predict(model: PredictiveModel, batch: Batch, options: PredictOptions): Float32Array[];
  /** Everything `load` needs, as named tensors and metadata. */
  save(): Safetensors;
}

/** A posterior whose predictions are those of drawn parameter vectors. */
export abstract class WeightPosterior implements Posterior {
  abstract readonly method: string;
  abstract readonly parameterCount: number;
  /** One draw of the flat parameter vector. */
  abstract sample(rng: RandomGenerator): Float32Array;
  /** Everything `load` needs, as named tensors and metadata. */
  abstract save(): Safetensors;

  predict(model: PredictiveModel, batch: Batch, options: PredictOptions): Float32Array[] {
    const { nSamples, rng } = requirePredictOptions(options);
    requireSameModel(this, model);
    return Array.from({ length: nSamples }, () => predictWith(model, this.sample(rng), batch));
  }
}

/** Predictive probabilities (B, P, V) of one parameter vector. */
export function predictWith(model: PredictiveModel, parameters: Float32Array, batch: Batch): Float32Array {
  model.setParameters(parameters);
  return Float32Array.from(softmaxRows(model.logits(batch), model.shape.dVocab));
}

/** @throws RangeError for a number of draws that is none, and options there are none of */
export function requirePredictOptions(options: PredictOptions): PredictOptions {
  requireKeys("predict", options, ["nSamples", "rng"]);
  requireKept("nSamples", options.nSamples);
  return options;
}

/** @throws RangeError if the posterior is over another number of parameters than the model has */
export function requireSameModel(posterior: { parameterCount: number }, model: PredictiveModel): void {
  requireModel(model);
  if (posterior.parameterCount !== model.parameterCount) {
    refuse("model", `${model.parameterCount} parameters`, `of ${posterior.parameterCount}, as the posterior`);
  }
}
