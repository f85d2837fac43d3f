/**
 * The probe sets, in their order: which tasks and which inputs their prompts are drawn from, and whether these are fresh
 * or from the prompt pool. The place in this list is part of the key of a set's random stream, so a new set comes last.
 */
export const PROBE_SETS = {
  seenTasks: { tasks: "train", inputs: "seen", prompts: "fresh" },
  unseenTasks: { tasks: "heldOut", inputs: "seen", prompts: "fresh" },
  seenTasksUnseenInputs: { tasks: "train", inputs: "unseen", prompts: "fresh" },
  unseenTasksUnseenInputs: { tasks: "heldOut", inputs: "unseen", prompts: "fresh" },
  trainPrompts: { tasks: "train", inputs: "seen", prompts: "pool" },
} as const;

export type ProbeSetName = keyof typeof PROBE_SETS;
export const PROBE_SET_NAMES = Object.keys(PROBE_SETS) as ProbeSetName[];

/** The sets of one configuration: those on unseen inputs exist if there are any, that of the pool if there is one. */
export function probeSetsOf({
  inputFraction,
  promptPool,
}: {
  inputFraction: number;
  promptPool: number;
}): ProbeSetName[] {
  return PROBE_SET_NAMES.filter((name) => {
    const { inputs, prompts } = PROBE_SETS[name];
    return (inputFraction < 1 || inputs === "seen") && (promptPool > 0 || prompts === "fresh");
  });
}
