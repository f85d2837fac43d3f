/** Monte-Carlo dropout: predictions of one checkpoint under random masks (Gal and Ghahramani 2016). */

import { type Batch, type CurvatureModel, softmaxRows } from "../curvature/model.ts";
import { MASK_STREAMS, type RandomGenerator } from "../random.ts";
import type { Safetensors } from "../safetensors.ts";
import { requireCount } from "../validate.ts";
import { vectorTensor } from "./gaussian/tensors.ts";
import { type Posterior, type PredictOptions, requireSameModel } from "./posterior.ts";
import { parametersOf } from "./saved.ts";

export class DropoutPosterior implements Posterior {
  readonly method = "dropout";
  readonly parameters: Float32Array;

  constructor(parameters: Float32Array) {
    this.parameters = parameters;
  }

  get parameterCount(): number {
    return this.parameters.length;
  }

  /** The checkpoint itself: the masks act on activations, and no parameter vector expresses them. */
  sample(_rng: RandomGenerator): Float32Array {
    return this.parameters.slice();
  }

  /**
   * One set of masks per draw, the same for equal places in every batch.
   * @throws RangeError if the model has no dropout, or another number of parameters
   */
  predict(model: CurvatureModel, batch: Batch, { nSamples, rng }: PredictOptions): Float32Array[] {
    requireCount("nSamples", nSamples);
    requireSameModel(this, model);
    const rate = model.shape.dropout ?? 0;
    if (!(rate > 0)) throw new RangeError(`dropout: got ${rate}, must be above 0 for Monte-Carlo dropout`);
    model.setParameters(this.parameters);
    const seed = rng.next() >>> 0;
    const masks = { seed, stream: MASK_STREAMS.posteriorPredictions.first };
    return Array.from({ length: nSamples }, (_, step) =>
      Float32Array.from(softmaxRows(model.logits(batch, { ...masks, step }), model.shape.dVocab)),
    );
  }

  save(): Safetensors {
    return {
      metadata: { method: this.method },
      tensors: new Map([["parameters", vectorTensor(this.parameters)]]),
    };
  }

  /** @throws RangeError if it is not a saved dropout posterior */
  static load(saved: Safetensors): DropoutPosterior {
    return new DropoutPosterior(parametersOf(saved, "parameters"));
  }
}
