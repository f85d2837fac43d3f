/** The files of a run directory: the one list, from which names, what a kill leaves behind and what may be deleted follow. */
import { join, sep } from "node:path";

/** Files that appear whole: each is written beside its place and then renamed. */
const WHOLE_FILES = ["config.json", "environment.json", "summary.json", "report.html"] as const;

/** Files that grow by one JSON object a line. */
export const LINES_FILES = ["metrics.jsonl", "timing.jsonl", "posteriors.jsonl", "spectrum.jsonl"] as const;

/** Folders of files that appear whole, by the endings of their names. */
const FOLDERS = {
  checkpoints: [".json", ".safetensors"],
  predictions: [".safetensors"],
  state: [".safetensors"],
} as const;

export type WholeFile = (typeof WHOLE_FILES)[number];
export type LinesFile = (typeof LINES_FILES)[number];

/** Held by the process that writes. */
export const LOCK_FILE = "lock";

/** All that belongs to a run, besides the lock: files and folders in its directory. */
export const RUN_ENTRIES: readonly string[] = [...WHOLE_FILES, ...LINES_FILES, ...Object.keys(FOLDERS)];

/** Whether `path`, relative to a run directory, is what write-file-atomic calls a file that is to replace another one. */
export function isTemporary(path: string): boolean {
  const target = /^(.+)\.\d+$/.exec(path)?.[1];
  if (target === undefined) return false;
  if ((WHOLE_FILES as readonly string[]).includes(target)) return true;
  return Object.entries(FOLDERS).some(
    ([folder, endings]) =>
      target.startsWith(`${folder}${sep}`) && endings.some((ending) => target.endsWith(ending)),
  );
}

/** Whose checkpoint, and at which step. */
export interface CheckpointKey {
  step: number;
  member: number;
}

const stepName = (step: number) => `step-${String(step).padStart(8, "0")}`;
const memberName = (member: number) => `member-${String(member).padStart(2, "0")}`;

/** The checkpoints of one step, one file a member. */
export const checkpointFolder = (step: number) => join("checkpoints", stepName(step));

/** The numbers in the names of these folders and files. */
export const CHECKPOINT_NAMES = {
  step: /^step-(\d+)$/,
  member: /^member-(\d+)\.safetensors$/,
  ivon: /^member-(\d+)\.ivon\.safetensors$/,
};

/** The parameters of one member. */
export const checkpointFile = ({ step, member }: CheckpointKey) =>
  join(checkpointFolder(step), `${memberName(member)}.safetensors`);

/** h of an IVON member, in a file of its own: the parameters' file holds what a PyTorch state dict does and no more. */
export const ivonFile = ({ step, member }: CheckpointKey) =>
  join(checkpointFolder(step), `${memberName(member)}.ivon.safetensors`);

/** The configuration of the model, beside the checkpoints of a step. */
export const modelFile = (step: number) => join(checkpointFolder(step), "config.json");

export const predictionsFile = (step: number) => join("predictions", `${stepName(step)}.safetensors`);

/** What a member needs to go on. */
export const stateFile = (member: number) => join("state", `${memberName(member)}.safetensors`);
