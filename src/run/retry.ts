/**
 * Members that dropped out because their workers crashed, tried again by a resume: another machine, or the same one with
 * more memory, may do what this one could not. (What is not finite would be so again.)
 */
import { type MemberEvaluation, type MemberProgress, newMember } from "../pool/controller.ts";
import type { RunDirectory } from "./directory.ts";
import { readMetrics, readWaiting } from "./read.ts";

const crashed = ({ failure }: MemberProgress) => failure?.reason === "crash";

/** Whether there are members that could be tried again. */
export const hasCrashed = (members: readonly (MemberProgress | null)[]): boolean =>
  members.some((progress) => progress !== null && crashed(progress));

/**
 * The members with the crashed ones among the living. The evaluations that were reported without them are taken back and
 * wait for them, so that the run comes to what it would have been. Whenever it is killed, the next call finds what
 * this one did: the mark of a crash goes last.
 *
 * @param warned told if that cannot be, because parts of those evaluations are not there
 */
export async function retryCrashed(
  directory: RunDirectory,
  known: readonly (MemberProgress | null)[],
  warned: (message: string) => void = () => {},
): Promise<void> {
  const members = known.map((progress, member) => progress ?? newMember(member));
  const lost = members.filter(crashed);
  const records = await readMetrics(directory.path);
  const from = Math.min(...lost.map(({ evaluated }) => evaluated));
  const later = records.filter(({ step }) => step > from);
  const waiting = await readWaiting(directory.path, ({ message }) => warned(message));
  const revived = members.map((progress) => ({
    ...progress,
    failure: crashed(progress) ? null : progress.failure,
    pending: merged(
      progress.pending,
      waiting.filter(({ member, step }) => member === progress.member && step > from),
    ),
  }));
  const complete = later.every((record) =>
    record.members.every(({ member }) => revived[member].pending.some(({ step }) => step === record.step)),
  );
  const names = lost.map(({ member }) => member).join(", ");
  if (complete) {
    for (const progress of revived)
      if (!crashed(members[progress.member])) await directory.saveMember(progress);
    await directory.rewind(from);
  } else
    warned(`evaluations up to step ${later.at(-1)!.step} were made without member ${names}, and stay so`);
  for (const { member } of lost) await directory.saveMember(revived[member]);
  await directory.removeWaiting();
}

/** Ascending, each step once. */
function merged(
  pending: readonly MemberEvaluation[],
  waiting: readonly MemberEvaluation[],
): MemberEvaluation[] {
  const bySteps = new Map([...waiting, ...pending].map((evaluation) => [evaluation.step, evaluation]));
  return [...bySteps.values()].sort((a, b) => a.step - b.step);
}
