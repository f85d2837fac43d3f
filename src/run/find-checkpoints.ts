/** Checkpoints that are named by a path: a file, the folder of a step, or a run. */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type FullShape, resolveShape, type TransformerShape } from "../core/shape.ts";
import { messageOf, UsageError } from "../errors.ts";
import { promptLength } from "../tasks/batch.ts";
import { type TaskConfig, taskSchema } from "../tasks/settings.ts";
import { refuse } from "../validate.ts";
import { listCheckpoints } from "./checkpoints.ts";
import { named, nullIfAbsent } from "./errors.ts";
import { CHECKPOINT_NAMES, checkpointFolder, MODEL_FILE } from "./files.ts";
import { openObject } from "./json.ts";

/** One or more members of one model at one step. */
export interface FoundCheckpoints {
  /** Where they lie, with the description of their model. */
  folder: string;
  /** By member, ascending; a file of another name is member 0. */
  files: { member: number; path: string }[];
}

/**
 * @param path of a file; of a folder of a step, for all its members; or of a run, for its newest step
 * @throws UsageError if there is none
 */
export async function findCheckpoints(path: string): Promise<FoundCheckpoints> {
  const about = await stat(path).catch((error: unknown) => {
    throw new UsageError(`no checkpoint: ${messageOf(error)}`);
  });
  if (about.isFile()) {
    const member = Number(CHECKPOINT_NAMES.member.exec(basename(path))?.[1] ?? 0);
    return { folder: dirname(path), files: [{ member, path }] };
  }
  const files = await membersIn(path);
  if (files.length > 0) return { folder: path, files };
  const newest = (await listCheckpoints(path)).at(-1);
  if (!newest)
    throw new UsageError(`no checkpoint: ${path} is neither a run that kept one, nor the folder of a step`);
  const folder = join(path, checkpointFolder(newest.step));
  return { folder, files: await membersIn(folder) };
}

async function membersIn(folder: string): Promise<FoundCheckpoints["files"]> {
  return (await readdir(folder))
    .flatMap((name) => {
      const member = CHECKPOINT_NAMES.member.exec(name)?.[1];
      return member === undefined ? [] : [{ member: Number(member), path: join(folder, name) }];
    })
    .sort((a, b) => a.member - b.member);
}

/** What the shapes of the tensors do not tell of a model. */
const BESIDE_SHAPES = ["nHeads", "actFn", "ropeBase"] as const;

/**
 * @throws UsageError if the description in the checkpoints' folder, where there is one, is damaged or of a model that
 *   computes another function of the same parameters
 */
export async function requireSameFunction(folder: string, shape: TransformerShape): Promise<void> {
  const path = join(folder, MODEL_FILE);
  const text = await readFile(path, "utf8").catch(named(path)).catch(nullIfAbsent);
  if (text === null) return;
  const found = openObject(text, { directory: folder, file: MODEL_FILE }, null);
  // A description by another program may have other words.
  const differing = BESIDE_SHAPES.filter((key) => found[key] !== undefined && found[key] !== shape[key]);
  if (differing.length > 0)
    throw new UsageError(
      differing
        .map((key) => `model.${key}: got ${shape[key]}, must be ${found[key]}, of which ${path} is`)
        .join("; "),
    );
}

/** What a checkpoint's folder says of its model. */
export interface FoundModel {
  shape: FullShape;
  task: TaskConfig;
}

/** @throws UsageError if the description is missing, damaged or of no model of this version */
export async function readModel({ folder }: FoundCheckpoints): Promise<FoundModel> {
  const path = join(folder, MODEL_FILE);
  const text = await readFile(path, "utf8")
    .catch(named(path))
    .catch((error: unknown) => {
      throw new UsageError(
        `the model of a checkpoint is described in ${MODEL_FILE} beside it: ${messageOf(error)}`,
      );
    });
  const place = { directory: folder, file: MODEL_FILE };
  const { task, seed: _, step: __, ...shape } = openObject(text, place, null);
  const known = taskSchema.safeParse(task);
  if (!known.success) throw new UsageError(`${path}: task is none of this version`);
  const { modulus, variables, examples } = known.data;
  try {
    const model = resolveShape(shape as unknown as TransformerShape);
    if (model.dVocab !== modulus) refuse("dVocab", model.dVocab, `task.modulus, ${modulus}`);
    const length = promptLength(variables, examples);
    if (model.nCtx !== length) refuse("nCtx", model.nCtx, `${length}, the length of the task's prompts`);
    return { shape: model, task: known.data };
  } catch (error) {
    throw new UsageError(`${path}: ${messageOf(error)}`);
  }
}
