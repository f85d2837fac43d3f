/** A run directory of checkpoints that another program trained. */
import { dirname } from "node:path";
import type { Config } from "../config/schema.ts";
import { loadCoreModule } from "../core/build.ts";
import type { CoreModule } from "../core/module.ts";
import { instantiateTransformer } from "../core/transformer.ts";
import { UsageError } from "../errors.ts";
import { type MemberEvaluation, newMember } from "../pool/controller.ts";
import { promptLength } from "../tasks/batch.ts";
import { stateAtStart, transformerShape } from "../training/model.ts";
import { trainSegment } from "../training/segment.ts";
import { requireRunnable } from "./check.ts";
import { readParameters } from "./checkpoints.ts";
import { RunDirectory } from "./directory.ts";
import { describeEnvironment } from "./environment.ts";
import { requireSameFunction } from "./find-checkpoints.ts";
import type { ForeignCheckpoint } from "./foreign.ts";
import { runHash } from "./identity.ts";
import { configHash, type Manifest } from "./manifest.ts";
import { readManifest, readSummary } from "./read.ts";
import { Recorder } from "./recorder.ts";
import type { RunSummary } from "./records.ts";
import { runSchedule } from "./schedule.ts";
import { RUN_FORMAT } from "./unsealed.ts";

export interface ImportOptions extends Pick<Manifest, "overrides" | "commandLine"> {
  /** The run directory: absent, empty, or with the same import cut off. */
  out: string;
  /** After each step. */
  imported?: (step: number) => void;
}

/**
 * Makes a run of checkpoints: each is predicted with on the probe sets of the configuration and kept, so that posteriors,
 * spectra, report and diagnosis are those of any run. Losses of training are not known. It cannot be trained on.
 *
 * @param config of their model and task; `training.steps` is the newest of their steps
 * @param checkpoints in order of step and member, every member at every step
 * @throws UsageError, before anything is written, if the model is another one than the configuration's, or the directory
 *   cannot be used
 */
export async function importRun(
  config: Config,
  checkpoints: readonly ForeignCheckpoint[],
  { out, overrides, commandLine, imported }: ImportOptions,
): Promise<RunSummary> {
  if (config.training.ivon)
    throw new UsageError(
      "training.optimizer: got ivon, must be adamw: a checkpoint from elsewhere has no posterior of its own",
    );
  const core = await loadCoreModule(config.math);
  requireRunnable(config, core, 1);
  const table = instantiateTransformer(core, transformerShape(config), { optimizer: "none" }).parameters;
  const load = async ({ path, member, step }: ForeignCheckpoint) => {
    const state = { ...stateAtStart(config, await readParameters(path, table)), step };
    const evaluation = evaluate(config, core, member, state);
    if (evaluation.predictions.length === 0) throw new UsageError(`${path}: what it predicts is not finite`);
    return { state, evaluation };
  };
  // All of them, before anything is written; together they may not fit into memory.
  for (const checkpoint of checkpoints) {
    await load(checkpoint);
    await requireSameFunction(dirname(checkpoint.path), transformerShape(config));
  }

  const steps = [...new Set(checkpoints.map(({ step }) => step))];
  const manifest: Manifest = {
    ...{ format: RUN_FORMAT, config, hash: configHash(config), imported: steps, overrides, commandLine },
  };
  const mode = (await isCutOff(out, config)) ? "overwrite" : "new";
  const directory = await RunDirectory.open(out, mode, runHash(config));
  try {
    await directory.writeManifest(manifest);
    await directory.writeEnvironment(await describeEnvironment(core, 1));
    const schedule = runSchedule(manifest);
    const recorder = new Recorder(
      { config, core, directory, observer: {}, schedule },
      { records: [], answered: -1 },
    );
    for (const step of steps) {
      const evaluations: MemberEvaluation[] = [];
      for (const checkpoint of checkpoints.filter((each) => each.step === step)) {
        const { state, evaluation } = await load(checkpoint);
        await recorder.saveCheckpoint({ step, member: checkpoint.member }, state);
        evaluations.push(evaluation);
      }
      await recorder.saveEvaluation(step, evaluations);
      imported?.(step);
    }
    const members = Array.from({ length: config.ensemble.members }, (_, member) => newMember(member));
    const summary = recorder.summarise(members);
    await directory.writeSummary(summary);
    return summary;
  } finally {
    directory.close();
  }
}

/** Whether `directory` holds the beginning of the same import, of which nothing is lost if it is made again. */
async function isCutOff(directory: string, config: Config): Promise<boolean> {
  const manifest = await readManifest(directory).catch(() => null);
  if (!manifest?.imported || manifest.hash !== configHash(config)) return false;
  return (await readSummary(directory).catch(() => null)) === null;
}

/** What a member predicts where it is: a segment without a step. */
function evaluate(
  config: Config,
  core: CoreModule,
  member: number,
  state: ReturnType<typeof stateAtStart>,
): MemberEvaluation {
  const { step } = state;
  const request = { config, member, state, toStep: step, answers: true };
  const { predictions, answers } = trainSegment(request, { core, stop: () => false });
  const { variables, examples } = config.task;
  const tokens = step * config.training.batchSize * promptLength(variables, examples);
  return { member, step, tokens, loss: Number.NaN, gradientNorm: Number.NaN, predictions, answers };
}
