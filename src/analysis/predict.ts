/** What the members of a checkpoint predict for prompts of the user's. */
import type { Batch } from "../core/batch.ts";
import { loadCoreModule } from "../core/build.ts";
import type { ParameterInfo } from "../core/layout.ts";
import type { TransformerShape } from "../core/shape.ts";
import { instantiateTransformer } from "../core/transformer.ts";
import { UsageError } from "../errors.ts";
import { checkpointDigest, type SavedPosterior } from "../posterior/file.ts";
import { modelOf } from "../posterior/fit-and-predict.ts";
import { stream } from "../random.ts";
import { readParameters } from "../run/checkpoints.ts";
import type { FoundCheckpoints, FoundModel } from "../run/find-checkpoints.ts";
import { requireFits } from "../run/memory.ts";
import { predictingPositions } from "../tasks/batch.ts";
import type { WrittenPrompt } from "../tasks/prompt-text.ts";
import { type Decomposition, decomposeMembers } from "../uncertainty/decompose.ts";
import { allFinite, argmax } from "../uncertainty/rows.ts";

/** The predictive distribution of one z of a prompt. */
export interface PromptPrediction {
  /** Of the prompt. */
  line: number;
  /** Examples before it. */
  examples: number;
  /** The most probable z. */
  prediction: number;
  /** Of z = 0, 1, ...; the mean of the members'. */
  probabilities: number[];
  /** Of `probabilities`, nats. */
  totalEntropy: number;
  /** Of the members, or the draws of a posterior, nats; absent if there is one. */
  mutualInformation?: number;
}

/** Prompts of one length that are predicted together. */
const MOST_PROMPTS = 512;

/** A posterior that was saved, and how often to draw from it. */
export interface PosteriorDraws extends SavedPosterior {
  /** S */
  samples: number;
}

/**
 * Predictions in the order of the prompts, for the last z of each or for all. Strict arithmetic: the same numbers on
 * every machine. Members of an IVON run predict with the means of their posteriors, and all without dropout; with a saved
 * posterior of the checkpoints its draws take the members' place, the same weights for all prompts.
 *
 * @throws UsageError, Error if a checkpoint is missing, damaged or of another model; UsageError for a posterior of others
 */
export async function predictPrompts(
  found: FoundCheckpoints,
  { shape, task }: FoundModel,
  prompts: readonly WrittenPrompt[],
  which: "last" | "all",
  posterior?: PosteriorDraws,
): Promise<PromptPrediction[]> {
  if (posterior) {
    const positions = which === "all" ? task.examples : 1;
    const together = Math.min(MOST_PROMPTS, prompts.length) * positions * shape.dVocab;
    requireFits("samples", posterior.samples, Float32Array.BYTES_PER_ELEMENT * Math.max(1, together));
  }
  const draw = await (posterior ? posteriorDraws(found, shape, posterior) : memberDraws(found, shape));
  const predictions = new Map<WrittenPrompt, PromptPrediction[]>();
  for (const group of ofEqualLength(prompts)) {
    const batch = batchOf(group, task.variables, which);
    const predicted = draw(batch);
    const rows = batch.batchSize * batch.positions.length;
    const parts = decomposeMembers(predicted, rows, shape.dVocab, (row) => `prediction ${row}`);
    group.forEach((prompt, row) => {
      predictions.set(prompt, predictionsOf(prompt, row, batch, parts, task, predicted.length));
    });
  }
  return prompts.flatMap((prompt) => predictions.get(prompt)!);
}

/** Predictive probabilities (B, P, V), one array for each member or draw. */
type Draw = (batch: Batch) => Float32Array[];

async function memberDraws({ files }: FoundCheckpoints, shape: TransformerShape): Promise<Draw> {
  const model = instantiateTransformer(await loadCoreModule("strict"), shape, { optimizer: "none" });
  const members = await parametersOf(files, model.parameters);
  return (batch) =>
    members.map((parameters, i) => {
      model.setParameters(parameters);
      const probabilities = model.probabilities(batch);
      if (!allFinite(probabilities)) throw new UsageError(`${files[i].path}: what it predicts is not finite`);
      return probabilities;
    });
}

async function posteriorDraws(
  { files, folder }: FoundCheckpoints,
  shape: TransformerShape,
  { posterior, origin, samples }: PosteriorDraws,
): Promise<Draw> {
  const model = modelOf(shape, origin.method, origin.options, await loadCoreModule("strict"));
  // A snapshot ensemble is of other steps too, which are not looked for.
  if (!origin.checkpointSteps) {
    const digest = await checkpointDigest(await parametersOf(files, model.parameters));
    if (digest !== origin.checkpoints)
      throw new UsageError(
        `the posterior is of ${named(origin)}, and not of the checkpoints given, ${files.map(({ path }) => path).join(", ") || folder}`,
      );
  }
  return (batch) =>
    posterior.predict(model, batch, {
      nSamples: samples,
      rng: stream(origin.seed, origin.member ?? 0, "posteriorPredictions"),
    });
}

const named = ({ step, member }: PosteriorDraws["origin"]) =>
  `${member === null ? "all members" : `member ${member}`} at step ${step}`;

const parametersOf = (files: FoundCheckpoints["files"], table: readonly ParameterInfo[]) =>
  Promise.all(files.map(({ path }) => readParameters(path, table)));

function* ofEqualLength(prompts: readonly WrittenPrompt[]): Generator<WrittenPrompt[]> {
  for (const length of new Set(prompts.map(({ tokens }) => tokens.length))) {
    const group = prompts.filter(({ tokens }) => tokens.length === length);
    for (let i = 0; i < group.length; i += MOST_PROMPTS) yield group.slice(i, i + MOST_PROMPTS);
  }
}

function batchOf(group: readonly WrittenPrompt[], variables: number, which: "last" | "all"): Batch {
  const { length } = group[0].tokens;
  const all = predictingPositions(variables, (length + 1) / (variables + 1));
  const positions = which === "all" ? all : all.slice(-1);
  const tokens = new Int32Array(group.length * length);
  group.forEach((prompt, row) => {
    tokens.set(prompt.tokens, row * length);
  });
  return {
    ...{ tokens, batchSize: group.length, length, positions },
    targets: new Int32Array(group.length * positions.length),
  };
}

function predictionsOf(
  { line }: WrittenPrompt,
  row: number,
  { positions }: Batch,
  { mean, totalEntropy, mutualInformation }: Decomposition,
  { modulus, variables }: FoundModel["task"],
  members: number,
): PromptPrediction[] {
  return Array.from(positions, (position, p) => {
    const at = row * positions.length + p;
    return {
      line,
      examples: (position + 1 - variables) / (variables + 1),
      prediction: argmax(mean, at * modulus, modulus),
      probabilities: Array.from(mean.subarray(at * modulus, (at + 1) * modulus), shortened),
      totalEntropy: shortened(totalEntropy[at]),
      ...(members > 1 && { mutualInformation: shortened(mutualInformation[at]) }),
    };
  });
}

/** Nine digits are what a float32 has. */
const shortened = (value: number) => Number(value.toPrecision(9));
