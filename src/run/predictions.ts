/** The probabilities of one evaluation as a safetensors file. */
import type { MemberEvaluation } from "../pool/controller.ts";
import type { Tensor } from "../safetensors.ts";
import { CYCLE_SET } from "../tasks/cycle.ts";
import { predictionsFile } from "./files.ts";
import type { RunIdentity } from "./identity.ts";
import { readTensors, sealedTensors } from "./tensors.ts";

/** Of the prompts that were asked back. */
export const CYCLE_TENSOR = `${CYCLE_SET}Cycle`;

/**
 * A tensor for each probe set, (members, prompts, positions, classes), or (members, prompts, classes) if only the last
 * position is kept. That of a small prompt pool has fewer prompts than the others. That of the prompts that were asked
 * back has one position.
 */
export function encodePredictions(
  step: number,
  members: readonly MemberEvaluation[],
  which: "last" | "all",
  { positions, classes }: { positions: number; classes: number },
  run: string,
): Uint8Array {
  const tensors = members[0].predictions.map(({ set }, i): [string, Tensor] => {
    const parts = members.map((m) => m.predictions[i].probabilities);
    const prompts = parts[0].length / (positions * classes);
    return which === "all"
      ? [set, { shape: [parts.length, prompts, positions, classes], data: concatenate(parts) }]
      : [
          set,
          {
            shape: [parts.length, prompts, classes],
            data: concatenate(parts.map((part) => lastPosition(part, positions, classes))),
          },
        ];
  });
  const cycles = members.flatMap(({ predictions }) => predictions.flatMap(({ cycle }) => cycle ?? []));
  // An evaluation that waited for its members in an older version's file has none of some.
  if (cycles.length === members.length)
    tensors.push([
      CYCLE_TENSOR,
      { shape: [cycles.length, cycles[0].length / classes, classes], data: concatenate(cycles) },
    ]);
  return sealedTensors(tensors, {
    run,
    step: String(step),
    members: JSON.stringify(members.map((m) => m.member)),
  });
}

/** @throws FileFault if the file is missing, damaged, of another run or step, or of other members */
export function requirePredictions(
  directory: string,
  step: number,
  members: readonly number[],
  identity: RunIdentity | null,
): Promise<void> {
  const place = { directory, file: predictionsFile(step) };
  return readTensors(place, identity, { step }, ({ metadata }) => {
    if (metadata.members !== JSON.stringify(members))
      throw new RangeError(`it is of the members ${metadata.members}, not of ${JSON.stringify(members)}`);
  });
}

function concatenate(parts: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** (prompts, positions, classes) -> (prompts, classes) of the last position. */
function lastPosition(probabilities: Float32Array, positions: number, classes: number): Float32Array {
  const prompts = probabilities.length / (positions * classes);
  return concatenate(
    Array.from({ length: prompts }, (_, i) =>
      probabilities.subarray(((i + 1) * positions - 1) * classes, (i + 1) * positions * classes),
    ),
  );
}
