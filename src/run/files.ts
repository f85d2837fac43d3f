/** The files of a run directory: the one list, from which names, what a kill leaves behind and what may be deleted follow. */
import { basename, join, sep } from "node:path";

/** Files that appear whole: each is written beside its place and then renamed. */
const WHOLE_FILES = ["config.json", "environment.json", "summary.json", "report.html"] as const;

/** Files that grow by one JSON object a line. */
export const LINES_FILES = [
  "metrics.jsonl",
  "answers.jsonl",
  "timing.jsonl",
  "posteriors.jsonl",
  "spectrum.jsonl",
] as const;

export type WholeFile = (typeof WHOLE_FILES)[number];
export type LinesFile = (typeof LINES_FILES)[number];

/** Held by the process that writes. */
export const LOCK = "lock";

/** Folders of files that appear whole, and the names of what is in them. */
const FOLDERS: Readonly<Record<string, RegExp>> = {
  checkpoints: /^step-\d{8,}\/(config\.json|member-\d{2,}(\.ivon)?\.safetensors)$/,
  predictions: /^step-\d{8,}\.safetensors$/,
  init: /^member-\d{2,}\.safetensors$/,
  state: /^member-\d{2,}(\.previous)?\.safetensors$/,
  waiting: /^step-\d{8,}\/member-\d{2,}\.safetensors$/,
  "set-aside": /./,
};

/** Whether `path`, relative to a run directory, is a file of the run, and may be replaced with it. */
export function isRunFile(path: string): boolean {
  const [folder, ...rest] = path.split(sep);
  if (rest.length > 0) return Object.hasOwn(FOLDERS, folder) && FOLDERS[folder].test(rest.join("/"));
  return ([...WHOLE_FILES, ...LINES_FILES] as string[]).includes(path);
}

/** The folders of a run, the inner ones first. */
export const isRunFolder = (path: string) =>
  Object.hasOwn(FOLDERS, path) ||
  path.startsWith(`set-aside${sep}`) ||
  (["checkpoints", "waiting"].some((folder) => path.startsWith(`${folder}${sep}`)) &&
    CHECKPOINT_NAMES.step.test(basename(path)));

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
export const MODEL_FILE = "config.json";
export const modelFile = (step: number) => join(checkpointFolder(step), MODEL_FILE);

export const predictionsFile = (step: number) => join("predictions", `${stepName(step)}.safetensors`);

/** What a member began with, where that came from checkpoints. */
export const initialFile = (member: number) => join("init", `${memberName(member)}.safetensors`);

/** What a member needs to go on. */
export const stateFile = (member: number) => join("state", `${memberName(member)}.safetensors`);

/** Parts of evaluations that were reported without a member that crashed, for when it comes to them. */
export const WAITING = "waiting";
export const waitingFile = ({ step, member }: CheckpointKey) =>
  join(WAITING, stepName(step), `${memberName(member)}.safetensors`);
/** The one that this replaced, for a member whose last state is lost. */
export const previousStateFile = (member: number) =>
  join("state", `${memberName(member)}.previous.safetensors`);

/** Where what cannot be of the run is kept. */
export const setAsideFile = (file: string) => join("set-aside", file);
