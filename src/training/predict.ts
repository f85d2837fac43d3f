/**
 * A member's predictive on the probe sets. A member with a posterior of its own, over its weights (IVON) or its dropout
 * masks, predicts with the mean over samples of it and tells how much they differ.
 */
import type { Config } from "../config/schema.ts";
import type { Batch } from "../core/batch.ts";
import type { DropoutKey } from "../core/dropout.ts";
import { IVON_SAMPLES, MASK_STREAMS, stream } from "../random.ts";
import { askedBack, CYCLE_SET, canBeAskedBack } from "../tasks/cycle.ts";
import type { ProbePrompts } from "../tasks/probe-prompts.ts";
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import { decomposeMembers } from "../uncertainty/decompose.ts";
import { allFinite, argmax } from "../uncertainty/rows.ts";
import type { MemberModel } from "./member-model.ts";
import type { ProbePrediction } from "./messages.ts";

/**
 * Predictions of the member that `model` holds after `step` steps; on unseen tasks its prompts are asked back, too. A
 * sample has the same weights on every probe set; its masks are the same at equal places of the sets. The model's
 * parameters are afterwards what they were.
 *
 * @returns null if a probability is not finite
 */
export function predict(
  model: MemberModel,
  probes: readonly ProbePrompts[],
  config: Config,
  member: number,
  step: number,
): ProbePrediction[] | null {
  const predictive = predictiveOf(model, config, member, step);
  const predictions = probes.map(({ name, batch }): ProbePrediction | null => {
    const predicted = predictive(name, batch);
    if (predicted === null) return null;
    if (name !== CYCLE_SET || !canBeAskedBack(config.task)) return { set: name, ...predicted };
    const answers = lastAnswers(predicted.probabilities, batch);
    const cycle = predictive(name, askedBack(batch, config.task.variables, answers));
    return cycle && { set: name, ...predicted, cycle: cycle.probabilities };
  });
  model.restoreWeights();
  return predictions.every((prediction) => prediction !== null) ? predictions : null;
}

/** (B): the most probable class at the last position of (B, P, C). */
function lastAnswers(probabilities: Float32Array, { batchSize, positions }: Batch): Int32Array {
  const classes = probabilities.length / (batchSize * positions.length);
  return Int32Array.from({ length: batchSize }, (_, b) =>
    argmax(probabilities, ((b + 1) * positions.length - 1) * classes, classes),
  );
}

type Predictive = Pick<ProbePrediction, "probabilities" | "posterior">;

/** The predictive on a batch, which belongs to a probe set; null if it is not finite. */
function predictiveOf(
  model: MemberModel,
  config: Config,
  member: number,
  step: number,
): (set: ProbeSetName, batch: Batch) => Predictive | null {
  const { transformer } = model;
  const samples = config.evaluation.posteriorSamples ?? 0;
  if (samples === 0)
    return (_, batch) => {
      const probabilities = transformer.probabilities(batch);
      return allFinite(probabilities) ? { probabilities } : null;
    };
  const sampleAt = posteriorSampler(model, config, member, step);
  return (set, batch) => {
    const rows = batch.batchSize * batch.positions.length;
    const sampled = Array.from({ length: samples }, (_, s) => transformer.probabilities(batch, sampleAt(s)));
    if (!sampled.every(allFinite)) return null;
    const parts = decomposeMembers(
      sampled,
      rows,
      transformer.shape.dVocab,
      (row) => `${set}, prediction ${row}`,
    );
    return {
      probabilities: Float32Array.from(parts.mean),
      posterior: {
        expectedEntropy: Float32Array.from(parts.expectedEntropy),
        mutualInformation: Float32Array.from(parts.mutualInformation),
      },
    };
  };
}

/** Puts the weights of sample s into the model, and returns the key of its masks. */
function posteriorSampler(
  model: MemberModel,
  config: Config,
  member: number,
  step: number,
): (sample: number) => DropoutKey | undefined {
  // A mask's key has no place for member, step and sample, so the first two become its seed.
  const maskSeed = stream(config.seed, member, "dropout", step).next() >>> 0;
  return (sample) => {
    model.sampleWeights(member, step, IVON_SAMPLES.memberPredictions.first + sample);
    return model.transformer.shape.dropout > 0
      ? { seed: maskSeed, stream: MASK_STREAMS.memberPredictions.first, step: sample }
      : undefined;
  };
}
