/** The predictions that a run has kept, with the answers, and parts of them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeSafetensors } from "../../dist/index.js";
import { CYCLE_TENSOR } from "../../dist/run/predictions.js";
import { drawProbePrompts } from "../../dist/tasks/probe-prompts.js";

/** As the run keeps them: predictions/step-00000000.safetensors. */
export function predictionsAt(directory, step) {
  const name = `step-${String(step).padStart(8, "0")}.safetensors`;
  const { tensors } = decodeSafetensors(readFileSync(join(directory, "predictions", name)));
  return {
    unseen: atLastPosition(tensors.get("unseenTasks")),
    seen: atLastPosition(tensors.get("seenTasks")),
    /** null of a run that has asked nothing back. */
    cycle: tensors.get(CYCLE_TENSOR) ?? null,
  };
}

/** (members, prompts, positions, classes) or without positions -> (members, prompts, classes) of the last one. */
function atLastPosition({ shape, data }) {
  if (shape.length === 3) return { shape, data };
  const [members, prompts, positions, classes] = shape;
  const last = new Float32Array(members * prompts * classes);
  for (let row = 0; row < members * prompts; row++) {
    const end = (row + 1) * positions * classes;
    last.set(data.subarray(end - classes, end), row * classes);
  }
  return { shape: [members, prompts, classes], data: last };
}

/** Answers at the last position, by probe set. */
export function labelsOf({ task, seed, evaluation }) {
  return Object.fromEntries(
    drawProbePrompts(task, seed, evaluation.prompts).map(({ name, batch }) => {
      const positions = batch.targets.length / batch.batchSize;
      return [name, batch.targets.filter((_, i) => i % positions === positions - 1)];
    }),
  );
}

/** Of (members, prompts, classes), these members on the prompts from `first` to before `end`. */
export function part({ shape: [, all, classes], data }, members, [first, end] = [0, all]) {
  const size = (end - first) * classes;
  const chosen = new Float32Array(members.length * size);
  for (const [i, m] of members.entries()) {
    const from = (m * all + first) * classes;
    chosen.set(data.subarray(from, from + size), i * size);
  }
  return { shape: [members.length, end - first, classes], data: chosen };
}
