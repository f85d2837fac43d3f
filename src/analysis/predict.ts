/** What the members of a checkpoint predict for prompts of the user's. */
import type { Batch } from "../core/batch.ts";
import { loadCoreModule } from "../core/build.ts";
import { instantiateTransformer, type Transformer } from "../core/transformer.ts";
import { readParameters } from "../run/checkpoints.ts";
import type { FoundCheckpoints, FoundModel } from "../run/find-checkpoints.ts";
import { predictingPositions } from "../tasks/batch.ts";
import type { WrittenPrompt } from "../tasks/prompt-text.ts";
import { type Decomposition, decomposeMembers } from "../uncertainty/decompose.ts";
import { argmax } from "../uncertainty/rows.ts";

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
  /** Of the members, nats; absent if there is one. */
  mutualInformation?: number;
}

/** Prompts of one length that are predicted together. */
const MOST_PROMPTS = 512;

/**
 * Predictions in the order of the prompts, for the last z of each or for all. Strict arithmetic: the same numbers on
 * every machine. Members of an IVON run predict with the means of their posteriors, and all without dropout.
 *
 * @throws UsageError, Error if a checkpoint is missing, damaged or of another model
 */
export async function predictPrompts(
  { files }: FoundCheckpoints,
  { shape, task }: FoundModel,
  prompts: readonly WrittenPrompt[],
  which: "last" | "all",
): Promise<PromptPrediction[]> {
  const model = instantiateTransformer(await loadCoreModule("strict"), shape, { optimizer: "none" });
  const members = await Promise.all(files.map(({ path }) => readParameters(path, model.parameters)));
  const predictions = new Map<WrittenPrompt, PromptPrediction[]>();
  for (const group of ofEqualLength(prompts)) {
    const batch = batchOf(group, task.variables, which);
    const parts = predictAll(model, members, batch);
    group.forEach((prompt, row) => {
      predictions.set(prompt, predictionsOf(prompt, row, batch, parts, task, members.length));
    });
  }
  return prompts.flatMap((prompt) => predictions.get(prompt)!);
}

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

function predictAll(model: Transformer, members: readonly Float32Array[], batch: Batch): Decomposition {
  const predicted = members.map((parameters) => {
    model.setParameters(parameters);
    return model.probabilities(batch);
  });
  const rows = batch.batchSize * batch.positions.length;
  return decomposeMembers(predicted, rows, model.shape.dVocab, (row) => `prediction ${row}`);
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
