/**
 * The probe sets, in their order: which tasks and which inputs their prompts are drawn from. The place in this list is
 * part of the key of a set's random stream, so a new set comes last.
 */
export const PROBE_SETS = {
  seenTasks: { tasks: "train", inputs: "seen" },
  unseenTasks: { tasks: "heldOut", inputs: "seen" },
  seenTasksUnseenInputs: { tasks: "train", inputs: "unseen" },
  unseenTasksUnseenInputs: { tasks: "heldOut", inputs: "unseen" },
} as const;

export type ProbeSetName = keyof typeof PROBE_SETS;
export const PROBE_SET_NAMES = Object.keys(PROBE_SETS) as ProbeSetName[];

/** The sets of one configuration: those on unseen inputs exist if there are any. */
export function probeSetsOf({ inputFraction }: { inputFraction: number }): ProbeSetName[] {
  return PROBE_SET_NAMES.filter((name) => inputFraction < 1 || PROBE_SETS[name].inputs === "seen");
}
