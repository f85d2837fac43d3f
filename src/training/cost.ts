/** What a configuration costs, counted before anything runs. */
import type { Config, TrainingConfig } from "../config/schema.ts";
import { promptLength } from "../tasks/batch.ts";
import { transformerShape } from "./model.ts";

export interface Cost {
  parameters: number;
  tokensPerStep: number;
  /**
   * Nominal FLOPs of one step of one member: a dense forward and backward over all tokens (3 x forward, 2 FLOPs a
   * multiply-add), with full attention, for each of IVON's weight samples. What the core really computes is less; see
   * docs/performance.md.
   */
  flopsPerStep: number;
  /** Of all steps and members. */
  totalFlops: number;
}

export function estimateCost(config: Config): Cost {
  const { task, training, ensemble } = config;
  const { dVocab: V, dModel: d, nLayers: L, dMlp: m, tiedEmbeddings, roles = 0 } = transformerShape(config);
  const length = promptLength(task.variables, task.examples);
  const matrices = L * (4 * d * d + 2 * m * d);
  const parameters = matrices + L * 4 * d + 2 * d + V * d * (tiedEmbeddings ? 1 : 2) + roles * d;
  const tokensPerStep = training.batchSize * length;
  const flopsPerGradient = 6 * tokensPerStep * (matrices + L * 2 * length * d + V * d);
  const flopsPerStep = gradientsPerStep(training) * flopsPerGradient;
  return {
    parameters,
    tokensPerStep,
    flopsPerStep,
    totalFlops: flopsPerStep * training.steps * ensemble.members,
  };
}

/** Each of IVON's weight samples has a gradient of its own. */
export function gradientsPerStep({ ivon }: TrainingConfig): number {
  return ivon?.samples ?? 1;
}
