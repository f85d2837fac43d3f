/** The prompts of training: a training task drawn uniformly, with n seen inputs, and no probe prompt. */
import type { RandomGenerator } from "../random.ts";
import { refuse, requireConsistent } from "../validate.ts";
import { TaskFamily } from "./family.ts";
import type { PromptSet } from "./prompt-set.ts";
import { PromptSource } from "./prompt-source.ts";
import { reserveProbePrompts } from "./reserved.ts";
import type { TaskConfig } from "./settings.ts";
import { splitInputs, splitTasks } from "./split.ts";

/** Draws after which a single task counts as wholly taken by probe prompts: the tasks together never are. */
const ATTEMPTS = 10_000;

/** Holds the prompt drawn last. */
export class TrainingSource {
  readonly prompt: PromptSource;
  /** (n): what the loss asks for: the clean outputs, or with noisyTargets the outputs after noise. */
  readonly targets: Int32Array;

  private readonly reserved: PromptSet;
  private readonly noisy: boolean;
  private readonly probePrompts: number;

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
    this.probePrompts = probePrompts;
    const { reserved, contradictions } = reserveProbePrompts(task, seed, probePrompts);
    requireConsistent(contradictions);
    this.reserved = reserved;
  }

  /** Draw the next prompt: of one of the training tasks with these numbers, or of any. */
  draw(rng: RandomGenerator, rows?: Int32Array): void {
    do this.prompt.draw(rng, rows);
    while (this.isReserved());
  }

  /**
   * The prompt of training task number `row` with the present inputs; with others where that is a probe prompt.
   *
   * @throws RangeError if the probe prompts leave next to none of this task
   */
  answer(rng: RandomGenerator, row: number): void {
    this.prompt.answer(rng, row);
    for (let attempt = 0; this.isReserved(); attempt++) {
      if (attempt === ATTEMPTS)
        refuse("evaluation.prompts", this.probePrompts, "lower, or task.examples higher");
      this.prompt.drawInputs(rng);
      this.prompt.answer(rng, row);
    }
  }

  private isReserved(): boolean {
    const { inputs, clean, shown } = this.prompt;
    return this.reserved.has(inputs, clean) || (this.noisy && this.reserved.has(inputs, shown));
  }
}
