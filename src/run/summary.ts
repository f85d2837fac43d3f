/** What a finished run comes to: summary.json. */
import type { Config } from "../config/schema.ts";
import { type MemberProgress, quorum } from "../pool/controller.ts";
import { detectGrokking, uncertaintyTrajectory } from "../uncertainty/detector.ts";
import { runEvents } from "../uncertainty/events.ts";
import { verdict } from "../uncertainty/verdict.ts";
import type { MemberSummary, MetricsRecord, RunEvents, RunSummary } from "./records.ts";

export interface SummaryInput {
  runDir: string;
  config: Config;
  records: readonly MetricsRecord[];
  references: RunSummary["references"];
  members: readonly MemberProgress[];
  math: RunSummary["math"];
  tokensPerSecond: number;
}

/** Whether the ensemble kept enough members for its measures: two, or the only one of a run with a single member. */
export function survived({ perMember, members }: RunSummary): boolean {
  return perMember.filter((m) => m.failedStep === null).length >= quorum(members);
}

/** The events seen so far, labelled and label-free. */
export function eventsSoFar(
  records: readonly MetricsRecord[],
  references: RunSummary["references"],
  classes: number,
): RunEvents {
  const { memorisedStep, grokStep } = runEvents(records, references);
  const { uncertaintyPeakStep, collapseStep } = detectGrokking(uncertaintyTrajectory(records, classes));
  return { memorisedStep, grokStep, uncertaintyPeakStep, collapseStep };
}

export function summarise(input: SummaryInput): RunSummary {
  const { runDir, config, records, references, members, math, tokensPerSecond } = input;
  const labelled = runEvents(records, references);
  const trajectory = uncertaintyTrajectory(records, config.task.modulus);
  const detector = detectGrokking(trajectory);
  const failures = members.flatMap((m) => (m.failure ? [m.failure] : []));
  const last = records.at(-1);
  const words = verdict(labelled, detector, { evaluationEvery: config.evaluation.every });
  return {
    schema: "epigrok-run/1",
    runDir,
    members: config.ensemble.members,
    steps: config.training.steps,
    verdict: [words, ...failures.map((failure) => `${capital(failure.message)}.`)].join(" "),
    memorisedStep: labelled.memorisedStep,
    grokStep: labelled.grokStep,
    uncertaintyPeakStep: detector.uncertaintyPeakStep,
    collapseStep: detector.collapseStep,
    accuracy: {
      seenTasks: last?.ensemble.seenTasks?.accuracy ?? Number.NaN,
      unseenTasks: last?.ensemble.unseenTasks?.accuracy ?? Number.NaN,
    },
    mutualInformation: {
      peak: detector.peakMutualInformation ?? largest(trajectory.map((o) => o.mutualInformation)),
      final: trajectory.at(-1)?.mutualInformation ?? Number.NaN,
    },
    tokensPerSecond,
    math,
    perMember: members.map(({ member, failure }): MemberSummary => {
      const events = labelled.perMember.find((m) => m.member === member);
      const final = records.findLast((r) => r.members.some((m) => m.member === member));
      const record = final?.members.find((m) => m.member === member);
      return {
        member,
        memorisedStep: events?.memorisedStep ?? null,
        grokStep: events?.grokStep ?? null,
        finalLoss: record?.loss ?? Number.NaN,
        accuracy: {
          seenTasks: record?.sets.seenTasks?.accuracy ?? Number.NaN,
          unseenTasks: record?.sets.unseenTasks?.accuracy ?? Number.NaN,
        },
        failedStep: failure?.step ?? null,
      };
    }),
    references,
  };
}

/** NaN if there are none. */
const largest = (values: number[]) => (values.length === 0 ? Number.NaN : Math.max(...values));

const capital = (text: string) => text[0].toUpperCase() + text.slice(1);
