/** Checkpoints of another program: which member's they are, and at which step. */
import { readFile, realpath } from "node:fs/promises";
import { basename } from "node:path";
import { messageOf, UsageError } from "../errors.ts";
import { decodeSafetensors } from "../safetensors.ts";
import { refuse } from "../validate.ts";
import type { CheckpointKey } from "./files.ts";

export interface ForeignCheckpoint extends CheckpointKey {
  path: string;
  /** The run that it says it is of. */
  run?: string;
}

/**
 * Step and member of each file: from the end of its path (step-500/member-1.safetensors), else from its metadata `step` and
 * `member`. Without them files are the members at `lastStep`, in their order.
 *
 * @returns in order of step and member
 * @throws UsageError if a file is none or given twice, if its metadata are no numbers, if two are of the same member and
 *   step, or if a step lacks a member
 */
export async function identifyCheckpoints(
  paths: readonly string[],
  lastStep: number,
): Promise<ForeignCheckpoint[]> {
  await requireDifferent(paths);
  const given = await Promise.all(paths.map(readKey));
  const next = new Map<number, number>();
  const found = given.map(({ path, run, step = lastStep, member }) => {
    const order = next.get(step) ?? 0;
    next.set(step, order + 1);
    return { path, step, member: member ?? order, ...(run !== undefined && { run }) };
  });
  found.sort((a, b) => a.step - b.step || a.member - b.member);
  for (const [i, { path, step, member }] of found.entries()) {
    const before = found[i - 1];
    if (before?.step === step && before.member === member)
      throw new UsageError(`${path}: it is of member ${member} at step ${step}, as ${before.path} is`);
  }
  requireSameMembers(found);
  return found;
}

async function requireDifferent(paths: readonly string[]): Promise<void> {
  const seen = new Map<string, string>();
  for (const path of paths) {
    // One that is not there is named by whoever reads it.
    const file = await realpath(path).catch(() => path);
    const before = seen.get(file);
    if (before !== undefined) throw new UsageError(`${path}: it is given twice, as ${before} too`);
    seen.set(file, path);
  }
}

async function readKey(
  path: string,
): Promise<Omit<ForeignCheckpoint, keyof CheckpointKey> & Partial<CheckpointKey>> {
  try {
    const { metadata } = decodeSafetensors(await readFile(path));
    const whole = (name: "step" | "member", inPath: string | undefined) => {
      const text = inPath ?? metadata[name];
      if (text === undefined) return undefined;
      const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
      if (!(value <= 0xffffffff))
        refuse(
          `${inPath === undefined ? "metadata " : ""}${name}`,
          JSON.stringify(text),
          "a whole number below 2^32",
        );
      return value;
    };
    return {
      path,
      step: whole("step", [...path.matchAll(/step[-_](\d+)/g)].at(-1)?.[1]),
      member: whole("member", /member[-_](\d+)/.exec(basename(path))?.[1]),
      run: metadata.run,
    };
  } catch (error) {
    throw new UsageError(`${path}: ${messageOf(error)}`);
  }
}

function requireSameMembers(found: readonly ForeignCheckpoint[]): void {
  const steps = new Map<number, number[]>();
  for (const { step, member } of found) steps.set(step, [...(steps.get(step) ?? []), member]);
  const count = Math.max(...[...steps.values()].map((members) => members.length));
  const wanted = count === 1 ? "0, the only one" : `0 to ${count - 1}`;
  const like = steps.size > 1 ? ", as at the other steps" : "";
  for (const [step, members] of steps)
    for (let member = 0; member < count; member++)
      if (members[member] !== member)
        throw new UsageError(
          `at step ${step} there are the members ${members.join(", ")}, must be ${wanted}${like}`,
        );
}
