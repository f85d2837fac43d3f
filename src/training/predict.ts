/**
 * A member's predictive on the probe sets. A member with a posterior of its own, over its weights (IVON) or its dropout
 * masks, predicts with the mean over samples of it and tells how much they differ.
 */
import type { Config } from "../config/schema.ts";
import type { DropoutKey, Transformer } from "../core/transformer.ts";
import { IVON_SAMPLES, MASK_STREAMS, stream } from "../random.ts";
import type { ProbePrompts } from "../tasks/probe-prompts.ts";
import { decomposeMembers } from "../uncertainty/decompose.ts";
import { ivonGaussian } from "./ivon.ts";
import type { ProbePrediction } from "./messages.ts";

/**
 * Predictions of the member that `model` holds after `step` steps. A sample has the same weights on every probe set; its
 * masks are the same at equal places of the sets. The model's parameters are afterwards what they were.
 *
 * @throws RangeError if a prediction is not a distribution
 */
export function predict(
  model: Transformer,
  probes: readonly ProbePrompts[],
  config: Config,
  member: number,
  step: number,
): ProbePrediction[] {
  const samples = config.evaluation.posteriorSamples ?? 0;
  if (samples === 0)
    return probes.map(({ name, batch }) => ({ set: name, probabilities: model.probabilities(batch) }));
  const sampleAt = posteriorSampler(model, config, member, step);
  const predictions = probes.map(({ name, batch }) => {
    const rows = batch.batchSize * batch.positions.length;
    const sampled = Array.from({ length: samples }, (_, s) => model.probabilities(batch, sampleAt(s)));
    const parts = decomposeMembers(sampled, rows, model.shape.dVocab, (row) => `${name}, prediction ${row}`);
    return {
      set: name,
      probabilities: Float32Array.from(parts.mean),
      posterior: {
        expectedEntropy: Float32Array.from(parts.expectedEntropy),
        mutualInformation: Float32Array.from(parts.mutualInformation),
      },
    };
  });
  model.ivonRestore();
  return predictions;
}

/** Puts the weights of sample s into the model, and returns the key of its masks. */
function posteriorSampler(
  model: Transformer,
  config: Config,
  member: number,
  step: number,
): (sample: number) => DropoutKey | undefined {
  const { seed, training } = config;
  const gaussian = training.ivon && ivonGaussian(config, training.ivon, member);
  // A mask's key has no place for member, step and sample, so the first two become its seed.
  const maskSeed = stream(seed, member, "dropout", step).next() >>> 0;
  return (sample) => {
    if (gaussian)
      model.ivonSample({ ...gaussian, step, sample: IVON_SAMPLES.memberPredictions.first + sample });
    return model.shape.dropout > 0
      ? { seed: maskSeed, stream: MASK_STREAMS.memberPredictions.first, step: sample }
      : undefined;
  };
}
