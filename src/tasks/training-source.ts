/** The prompts of training: a training task drawn uniformly, with n seen inputs, and no probe prompt. */
import type { RandomGenerator } from "../random.ts";
import { requireConsistent } from "../validate.ts";
import { TaskFamily } from "./family.ts";
import type { PromptSet } from "./prompt-set.ts";
import { PromptSource } from "./prompt-source.ts";
import { reserveProbePrompts } from "./reserved.ts";
import type { TaskConfig } from "./settings.ts";
import { splitInputs, splitTasks } from "./split.ts";

/** Holds the prompt drawn last. */
export class TrainingSource {
  readonly prompt: PromptSource;
  /** (n): what the loss asks for: the clean outputs, or with noisyTargets the outputs after noise. */
  readonly targets: Int32Array;

  private readonly reserved: PromptSet;
  private readonly noisy: boolean;

  /**
   * @param probePrompts evaluation.prompts, the number of prompts in each probe set
   * @throws RangeError for an invalid task configuration, or when the probe sets leave too little to train on
   */
  constructor(task: TaskConfig, seed: number, probePrompts: number) {
    const { examples, distinctInputs, trainNoise, noisyTargets } = task;
    this.prompt = new PromptSource({
      family: new TaskFamily(task),
      tasks: splitTasks(task, seed).train,
      inputs: splitInputs(task, seed).seen,
      examples,
      distinctInputs,
      noise: trainNoise,
      noisyLast: noisyTargets,
    });
    this.targets = noisyTargets ? this.prompt.shown : this.prompt.clean;
    this.noisy = trainNoise > 0;
    const { reserved, contradictions } = reserveProbePrompts(task, seed, probePrompts);
    requireConsistent(contradictions);
    this.reserved = reserved;
  }

  /** Draw the next prompt. */
  draw(rng: RandomGenerator): void {
    const { prompt, reserved } = this;
    do prompt.draw(rng);
    while (
      reserved.has(prompt.inputs, prompt.clean) ||
      (this.noisy && reserved.has(prompt.inputs, prompt.shown))
    );
  }
}
