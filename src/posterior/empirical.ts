/** Equally weighted parameter vectors: a deep ensemble, or the kept states of a Markov chain. */

import type { Batch, PredictiveModel } from "../curvature/model.ts";
import { type RandomGenerator, uniformIndex } from "../random.ts";
import type { Safetensors, Tensor } from "../safetensors.ts";
import { requireCount, requireLength, requireTypedArray } from "../validate.ts";
import { vectorTensor } from "./gaussian/tensors.ts";
import {
  type Posterior,
  type PredictOptions,
  predictWith,
  requirePredictOptions,
  requireSameModel,
} from "./posterior.ts";
import { metadataOf, parametersOf } from "./saved.ts";

export class EmpiricalPosterior implements Posterior {
  readonly method: string;
  readonly parameterCount: number;
  readonly states: readonly Float32Array[];

  /** @throws RangeError if there is no state, or states differ in length */
  constructor(method: string, states: readonly Float32Array[]) {
    requireCount("number of states", states?.length);
    for (const state of states) requireTypedArray("state", state, "Float32Array");
    this.method = method;
    this.parameterCount = states[0].length;
    for (const state of states) requireLength("state", state, this.parameterCount);
    this.states = states;
  }

  /** One of the states, uniformly. */
  sample(rng: RandomGenerator): Float32Array {
    return this.states[uniformIndex(rng, this.states.length)].slice();
  }

  /**
   * Predictives of min(nSamples, number of states) different states, evenly spaced: drawing with replacement would
   * only add noise.
   */
  predict(model: PredictiveModel, batch: Batch, options: PredictOptions): Float32Array[] {
    const { nSamples } = requirePredictOptions(options);
    requireSameModel(this, model);
    const count = Math.min(nSamples, this.states.length);
    return Array.from({ length: count }, (_, s) => {
      // The last of each of `count` equal stretches: the end of a chain is farthest from its start.
      const index = Math.ceil(((s + 1) * this.states.length) / count) - 1;
      return predictWith(model, this.states[index], batch);
    });
  }

  save(): Safetensors {
    return {
      metadata: { method: this.method },
      tensors: new Map<string, Tensor>(this.states.map((state, i) => [`state.${i}`, vectorTensor(state)])),
    };
  }

  /** @throws RangeError if it is not a saved posterior of this kind */
  static load(saved: Safetensors): EmpiricalPosterior {
    const count = [...saved.tensors.keys()].filter((name) => name.startsWith("state.")).length;
    return new EmpiricalPosterior(
      metadataOf(saved, "method"),
      Array.from({ length: count }, (_, i) => parametersOf(saved, `state.${i}`)),
    );
  }
}
