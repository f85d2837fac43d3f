/**
 * The fixed prompts of the probe sets that training never shows. They are drawn from (seed, "probe") alone, before any
 * training, and are the same for all members. In the sets on unseen inputs every input of a prompt is unseen, as in the split of
 * He et al. (arXiv 2406.02550).
 */
import type { Batch } from "../core/batch.ts";
import { stream } from "../random.ts";
import { emptyBatch, predictingPositions, promptLength } from "./batch.ts";
import { TaskFamily } from "./family.ts";
import { PROBE_SET_NAMES, PROBE_SETS, type ProbeSetName, probeSetsOf } from "./probe-sets.ts";
import { PromptSource } from "./prompt-source.ts";
import type { TaskConfig } from "./settings.ts";
import { splitInputs, splitTasks } from "./split.ts";

export interface ProbePrompts {
  name: ProbeSetName;
  /** All n positions; context outputs carry probeNoise, targets are clean. Prompts of the pool are as in training. */
  batch: Batch;
  /** (B): family indices. */
  tasks: Int32Array;
  /** (B, n): input indices. */
  inputs: Int32Array;
  /** (B, n): outputs as fed; the last one, which is not fed, is clean. */
  outputs: Int32Array;
}

/**
 * Draw `prompts` prompts for each probe set of fresh prompts.
 *
 * @throws RangeError for an invalid task configuration
 */
export function drawFreshProbes(task: TaskConfig, seed: number, prompts: number): ProbePrompts[] {
  const tasks = splitTasks(task, seed);
  const inputs = splitInputs(task, seed);
  return probeSetsOf(task).flatMap((name) => {
    const set = PROBE_SETS[name];
    if (set.prompts === "pool") return [];
    return drawSet(task, seed, prompts, name, tasks[set.tasks], inputs[set.inputs]);
  });
}

function drawSet(
  task: TaskConfig,
  seed: number,
  prompts: number,
  name: ProbeSetName,
  taskPool: Int32Array,
  inputPool: Int32Array,
): ProbePrompts {
  const { variables, examples } = task;
  const source = new PromptSource({
    family: new TaskFamily(task),
    tasks: taskPool,
    inputs: inputPool,
    examples,
    distinctInputs: task.distinctInputs,
    noise: task.probeNoise,
    noisyLast: false,
  });
  const rng = stream(seed, 0, "probe", PROBE_SET_NAMES.indexOf(name));
  const length = promptLength(variables, examples);
  const batch = emptyBatch(prompts, length, predictingPositions(variables, examples));
  const tasks = new Int32Array(prompts);
  const inputs = new Int32Array(prompts * examples);
  const outputs = new Int32Array(prompts * examples);
  for (let b = 0; b < prompts; b++) {
    source.draw(rng);
    source.writeTokens(batch.tokens, b * length);
    batch.targets.set(source.clean, b * examples);
    tasks[b] = source.task;
    inputs.set(source.inputs, b * examples);
    outputs.set(source.shown, b * examples);
  }
  return { name, batch, tasks, inputs, outputs };
}
