/** Members that begin with the parameters of checkpoints (`model.initFrom`). */
import { access, realpath } from "node:fs/promises";
import { isAbsolute, join, relative } from "node:path";
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import { instantiateTransformer } from "../core/transformer.ts";
import { messageOf, UsageError } from "../errors.ts";
import { type MemberProgress, newMember } from "../pool/controller.ts";
import { stateAtStart, transformerShape } from "../training/model.ts";
import { readInitialCopy, readParameters } from "./checkpoints.ts";
import type { RunDirectory } from "./directory.ts";
import { initialFile } from "./files.ts";
import { findCheckpoints, requireSameFunction } from "./find-checkpoints.ts";

/**
 * The flat parameter vectors that the members begin with; null if they are random.
 *
 * @param replaced the directory of the run that will be deleted for this one
 * @throws UsageError if a checkpoint is missing, damaged, of another model, or in the run that will be deleted
 */
export async function readInitial(
  config: Config,
  core: CoreModule,
  { replaced }: { replaced?: string } = {},
): Promise<Float32Array[] | null> {
  const { initFrom } = config.model;
  if (initFrom === undefined) return null;
  try {
    const { folder, files } = await findCheckpoints(initFrom);
    if (replaced !== undefined && (await isWithin(folder, replaced)))
      throw new UsageError(`it is in ${replaced}, the run that would be replaced`);
    const { members } = config.ensemble;
    const table = parametersOf(config, core);
    const parameters = await Promise.all(
      Array.from({ length: members }, (_, member) => {
        const own = files.length === 1 ? files[0] : files.find((file) => file.member === member);
        if (!own) throw new UsageError(`it has ${files.length} members, and none for member ${member}`);
        return readParameters(own.path, table);
      }),
    );
    await requireSameFunction(folder, transformerShape(config));
    return parameters;
  } catch (error) {
    throw new UsageError(`model.initFrom: got ${JSON.stringify(initFrom)}: ${messageOf(error)}`);
  }
}

/**
 * The members before their first step. Those of checkpoints are kept in the run, which then no longer needs the
 * checkpoints: they are read only where a copy is missing.
 */
export async function initialMembers(
  directory: RunDirectory,
  config: Config,
  core: CoreModule,
): Promise<MemberProgress[]> {
  const all = Array.from({ length: config.ensemble.members }, (_, member) => newMember(member));
  if (config.model.initFrom === undefined) return all;
  const table = parametersOf(config, core);
  const copies = all.map(({ member }) => join(directory.path, initialFile(member)));
  const there = await Promise.all(copies.map(exists));
  const source = there.every(Boolean) ? null : await readInitial(config, core);
  return Promise.all(
    all.map(async (progress, i) => {
      const { member } = progress;
      if (!there[i]) await directory.saveInitial(member, source![member], table);
      return {
        ...progress,
        state: stateAtStart(config, await readInitialCopy(directory.path, member, table, null)),
      };
    }),
  );
}

const parametersOf = (config: Config, core: CoreModule) =>
  instantiateTransformer(core, transformerShape(config), { optimizer: "none" }).parameters;

/** Whether `path` is in `directory` once links are followed; nothing is in a directory that does not exist. */
async function isWithin(path: string, directory: string): Promise<boolean> {
  if (!(await exists(directory))) return false;
  const way = relative(await realpath(directory), await realpath(path));
  return way === "" || !(way.startsWith("..") || isAbsolute(way));
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );
