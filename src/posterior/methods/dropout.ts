/** Monte-Carlo dropout: predictions of one checkpoint under random masks (Gal and Ghahramani 2016). */

import { type Batch, type PredictiveModel, softmaxRows } from "../../curvature/model.ts";
import { MASK_STREAMS, nextInteger, type RandomGenerator } from "../../random.ts";
import type { Safetensors } from "../../safetensors.ts";
import { refuse, requireOpenFractionFloat32, requireTypedArray } from "../../validate.ts";
import { vectorTensor } from "../gaussian/tensors.ts";
import { requireOptions } from "../option-checks.ts";
import {
  type Posterior,
  type PredictOptions,
  requirePredictOptions,
  requireSameModel,
} from "../posterior.ts";
import { parametersOf } from "../saved.ts";
import type { MethodDefinition } from "./method.ts";

export class DropoutPosterior implements Posterior {
  readonly method = "dropout";
  readonly parameters: Float32Array;

  constructor(parameters: Float32Array) {
    requireTypedArray("parameters", parameters, "Float32Array");
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
  predict(model: PredictiveModel, batch: Batch, options: PredictOptions): Float32Array[] {
    const { nSamples, rng } = requirePredictOptions(options);
    requireSameModel(this, model);
    const rate = model.shape.dropout ?? 0;
    if (!(rate > 0)) refuse("dropout", rate, "above 0 for Monte-Carlo dropout");
    model.setParameters(this.parameters);
    const seed = nextInteger(rng) >>> 0;
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

export interface DropoutOptions {
  /** Rate, if it is not the model's own. */
  dropout?: number;
}

/** For a model that was trained without. */
const RATE = 0.1;

export const dropout = {
  name: "dropout",
  label: "dropout",
  summary: "Monte-Carlo dropout: random masks on the checkpoint, without a fit",
  fits: "nothing",
  byDefault: true,
  needs: { checkpoints: "one", data: false, model: { optimizer: "none" } },
  defaults: {},
  settings: ["dropout"],
  options: (settings, { model }) => ({
    dropout: settings.dropout ?? (model.dropout > 0 ? model.dropout : RATE),
  }),
  requireOptions: (options) =>
    requireOptions<DropoutOptions>("dropout", options, { dropout: requireOpenFractionFloat32 }),
  shape: (options) => (options.dropout === undefined ? {} : { dropout: options.dropout }),
  fit: ({ checkpoints: [parameters] }) => ({ posterior: new DropoutPosterior(parameters) }),
  load: DropoutPosterior.load,
  remark: (options, { model }) =>
    model.dropout === 0
      ? `The model was trained without dropout; dropout at rate ${options.dropout?.toPrecision(3)} is noise it has never met, and its MI a measure of robustness rather than of a posterior.`
      : undefined,
} as const satisfies MethodDefinition<"dropout", DropoutOptions, { optimizer: "none" }>;
