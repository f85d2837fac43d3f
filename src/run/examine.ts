/** Whether the files of a run are what was written and belong together, and from where it can be gone on. */
import type { ParameterInfo } from "../core/layout.ts";
import { type MemberProgress, quorum } from "../pool/controller.ts";
import { readCheckpoint, readInitialCopy, readIvonCurvature, requireModelFile } from "./checkpoints.ts";
import { FileFault, MissingFileError } from "./errors.ts";
import { type LinesFile, previousStateFile, stateFile } from "./files.ts";
import type { RecordFile, RecordLine } from "./json.ts";
import { identityOf, type Manifest } from "./manifest.ts";
import { requirePredictions } from "./predictions.ts";
import {
  ANSWERS,
  METRICS,
  readEnvironment,
  readMember,
  readRecordLines,
  readSummary,
  TIMING,
} from "./read.ts";
import type { AnswerRecord, MetricsRecord, RunSummary, TimingRecord } from "./records.ts";
import { runSchedule } from "./schedule.ts";

export interface Examination {
  /** What is damaged, of another run, missing, or ahead of the rest. */
  faults: FileFault[];
  /** The evaluations before the first that is not there with all its files, in order of step. */
  evaluations: RecordLine<MetricsRecord>[];
  /** Times of these evaluations. */
  timing: RecordLine<TimingRecord>[];
  /** Answer tables without a hole, which may be ahead of the evaluations. */
  answers: RecordLine<AnswerRecord>[];
  /** Files with other lines than these, or in another order, and the lines that they should have. */
  surplus: [LinesFile, string[]][];
  /** The newest state of each member that goes with the evaluations; null: it has to begin anew. */
  members: (MemberProgress | null)[];
  /** Of a run that has all its evaluations; null for another one. */
  summary: RunSummary | null;
}

/** Reads every file of the run. @param table the parameters of its model */
export async function examine(
  directory: string,
  manifest: Manifest,
  table: readonly ParameterInfo[],
): Promise<Examination> {
  const { config } = manifest;
  const identity = identityOf(manifest);
  const schedule = runSchedule(manifest);
  const faults: FileFault[] = [];
  const attempt = async <T>(read: Promise<T>): Promise<T | null> => {
    try {
      return await read;
    } catch (error) {
      if (!(error instanceof FileFault)) throw error;
      faults.push(error);
      return null;
    }
  };

  /** Whether all files of these members' part in an evaluation are as they should be. */
  async function hasCheckpoints(step: number, members: readonly number[]): Promise<boolean> {
    if (!schedule.checkpoints.has(step)) return true;
    const before = faults.length;
    await attempt(requireModelFile(directory, step, identity));
    for (const member of members) {
      const key = { step, member };
      if (config.training.ivon) await attempt(readIvonCurvature(directory, key, table, identity));
      await attempt(readCheckpoint(directory, key, table, identity));
    }
    return faults.length === before;
  }

  const surplus: [LinesFile, string[]][] = [];
  /** By their steps, and what they have to be from now on. */
  async function linesOf<T extends { step: number }>(recordFile: RecordFile, expected: ReadonlySet<number>) {
    const read = await readRecordLines<T>(directory, recordFile);
    faults.push(...read.faults);
    const byStep = new Map<number, RecordLine<T>>();
    for (const line of read.lines) {
      const { step } = line.record;
      if (expected.has(step)) byStep.set(step, line);
      else faults.push(new FileFault(line.place, `the run has no evaluation at step ${step}`));
    }
    const back = read.lines.findIndex(({ record }, i) => record.step < read.lines[i - 1]?.record.step);
    if (back > 0) {
      const [before, { place, record }] = read.lines.slice(back - 1);
      faults.push(new FileFault(place, `out of order: step ${record.step} after step ${before.record.step}`));
    }
    const keep = (lines: readonly RecordLine<T>[]) => {
      const same = read.lines.length === lines.length && read.lines.every((line, i) => line === lines[i]);
      if (read.faults.length > 0 || !same) surplus.push([recordFile.file, lines.map(({ text }) => text)]);
    };
    return { byStep, keep };
  }

  const expected = new Set(schedule.steps);
  const { byStep: lines, keep: keepEvaluations } = await linesOf<MetricsRecord>(METRICS, expected);
  const { byStep: tables, keep: keepAnswers } = await linesOf<AnswerRecord>(ANSWERS, expected);
  // Runs of before there were tables have none.
  const asked = identity.sealed ? schedule.answers : new Set(tables.keys());
  const unanswered = schedule.steps.find((step) => asked.has(step) && !tables.has(step)) ?? Infinity;
  const answers = schedule.steps.flatMap((step) => (step < unanswered && tables.get(step)) || []);
  keepAnswers(answers);

  const evaluations: RecordLine<MetricsRecord>[] = [];
  let unbroken = true;
  for (const step of schedule.steps) {
    const line = lines.get(step);
    if (!line) {
      unbroken = false;
      continue;
    }
    const members = line.record.members.map(({ member }) => member);
    const before = faults.length;
    if (schedule.predictions.has(step)) await attempt(requirePredictions(directory, step, members, identity));
    await hasCheckpoints(step, members);
    if (step === unanswered)
      faults.push(
        new FileFault({ directory, file: ANSWERS.file }, `the answers at step ${step} are missing`),
      );
    unbroken &&= faults.length === before;
    if (unbroken) evaluations.push(line);
  }
  keepEvaluations(evaluations);
  const last = evaluations.at(-1)?.record.step ?? -1;
  const missing = schedule.steps.find((step) => step > last);
  if (missing !== undefined && !lines.has(missing) && lines.size > evaluations.length)
    faults.push(
      new FileFault(
        { directory, file: METRICS.file },
        `the evaluation at step ${missing} is missing, while later ones are there`,
      ),
    );

  /** The first step whose evaluation the state takes for done, though it is neither there nor kept in the state. */
  async function lostBefore({ member, evaluated, pending }: MemberProgress): Promise<number | null> {
    for (const step of schedule.steps) {
      if (step <= last) continue;
      if (step > evaluated) break;
      if (!pending.some((each) => each.step === step) || !(await hasCheckpoints(step, [member]))) return step;
    }
    return null;
  }

  const summary = await attempt(readSummary(directory));
  const finished = summary !== null && isFinished(summary, last, schedule.steps);
  const parameters = table.reduce((sum, { length }) => sum + length, 0);
  const inRecords = (member: number) =>
    evaluations.some(({ record }) => record.members.some((each) => each.member === member));

  async function newestState(member: number): Promise<MemberProgress | null> {
    for (const file of [stateFile(member), previousStateFile(member)]) {
      const place = { directory, file };
      const read = readMember(directory, { member, file, parameters }, identity).catch((error) => {
        // Not there yet, or not any more in a run that needs none.
        const needed = file === stateFile(member) && !finished && inRecords(member);
        if (error instanceof MissingFileError && !needed) return null;
        throw error;
      });
      const progress = await attempt(read);
      if (progress === null) continue;
      const lost = await lostBefore(progress);
      if (progress.evaluated >= 0 && !expected.has(progress.evaluated))
        faults.push(new FileFault(place, `the run has no evaluation at step ${progress.evaluated}`));
      else if (lost === null) return progress;
      else
        faults.push(
          new FileFault(
            place,
            `is ahead of the evaluation at step ${lost}, which ${METRICS.file} does not have`,
          ),
        );
    }
    return null;
  }

  const members: (MemberProgress | null)[] = [];
  for (let member = 0; member < config.ensemble.members; member++) {
    members.push(await newestState(member));
    if (config.model.initFrom !== undefined)
      await attempt(
        readInitialCopy(directory, member, table, identity).catch((error) => {
          // It comes after config.json.
          if (error instanceof MissingFileError) return null;
          throw error;
        }),
      );
  }
  await attempt(readEnvironment(directory));
  const { byStep: times, keep: keepTiming } = await linesOf<TimingRecord>(TIMING, expected);
  const timing = [...times.values()].filter(({ record }) => record.step <= last);
  keepTiming(timing);
  return {
    faults,
    evaluations,
    timing,
    answers,
    surplus,
    members,
    summary: finished ? summary : null,
  };
}

/** Whether nothing is left to do: the evaluations go to the end, or too few members lived to go on. */
function isFinished({ perMember }: RunSummary, last: number, steps: readonly number[]): boolean {
  const live = perMember.filter(({ failedStep }) => failedStep === null).length;
  return last === steps.at(-1) || live < quorum(perMember.length);
}
