/** Training prompts. Each is a training task drawn uniformly, with n seen inputs, and no probe prompt. */
import type { Batch } from "../core/batch.ts";
import { stream } from "../random.ts";
import { requireConsistent } from "../validate.ts";
import { emptyBatch, predictingPositions, promptLength } from "./batch.ts";
import { TaskFamily } from "./family.ts";
import type { PromptSet } from "./prompt-set.ts";
import { PromptSource } from "./prompt-source.ts";
import { reserveProbePrompts } from "./reserved.ts";
import type { TaskConfig } from "./settings.ts";
import { splitInputs, splitTasks } from "./split.ts";

/**
 * Samples training batches. A batch is a function of (task, seed, probePrompts, member, step) alone.
 */
export class PromptSampler {
  /** T */
  readonly length: number;
  /** (n): all predicting positions. */
  readonly positions: Int32Array;

  private readonly seed: number;
  private readonly source: PromptSource;
  private readonly reserved: PromptSet;
  private readonly noisy: boolean;
  private readonly noisyTargets: boolean;

  /**
   * @param probePrompts evaluation.prompts, the number of prompts in each probe set
   * @throws RangeError for an invalid task configuration, or when the probe sets would take more than a tenth of the
   *   training prompts
   */
  constructor(task: TaskConfig, seed: number, probePrompts: number) {
    const { examples, variables, distinctInputs, trainNoise, noisyTargets } = task;
    const { train } = splitTasks(task, seed);
    const { seen } = splitInputs(task, seed);
    this.length = promptLength(variables, examples);
    this.positions = predictingPositions(variables, examples);
    this.seed = seed;
    this.noisy = trainNoise > 0;
    this.noisyTargets = noisyTargets;
    this.source = new PromptSource({
      family: new TaskFamily(task),
      tasks: train,
      inputs: seen,
      examples,
      distinctInputs,
      noise: trainNoise,
      noisyLast: noisyTargets,
    });
    const { reserved, contradictions } = reserveProbePrompts(task, seed, probePrompts);
    requireConsistent(contradictions);
    this.reserved = reserved;
  }

  /** A batch to be filled by `sampleInto`, with all n predicting positions or only the last one. */
  createBatch(batchSize: number, lossPositions: "all" | "last"): Batch {
    const positions = lossPositions === "all" ? this.positions : this.positions.slice(-1);
    return emptyBatch(batchSize, this.length, positions);
  }

  /**
   * Fill a batch made by `createBatch` with the prompts of one member and step. Targets are the clean outputs, or
   * with noisyTargets the outputs after noise.
   */
  sampleInto(batch: Batch, member: number, step: number): void {
    const { source, reserved } = this;
    const rng = stream(this.seed, member, "data", step);
    const outputs = this.noisyTargets ? source.shown : source.clean;
    const asked = batch.positions.length;
    const first = outputs.length - asked;
    for (let b = 0; b < batch.batchSize; b++) {
      do source.draw(rng);
      while (
        reserved.has(source.inputs, source.clean) ||
        (this.noisy && reserved.has(source.inputs, source.shown))
      );
      source.writeTokens(batch.tokens, b * this.length);
      for (let k = 0; k < asked; k++) batch.targets[b * asked + k] = outputs[first + k];
    }
  }
}
