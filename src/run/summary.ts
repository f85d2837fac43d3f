/** What a finished run comes to: summary.json. */
import type { Config } from "../config/schema.ts";
import { type MemberProgress, quorum } from "../pool/controller.ts";
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import { verdict } from "../uncertainty/verdict.ts";
import { readEvents, uncertaintyTrajectory } from "./events.ts";
import type { FinalAccuracy, MemberSummary, MetricsRecord, References, RunSummary } from "./records.ts";

export interface SummaryInput {
  runDir: string;
  config: Config;
  records: readonly MetricsRecord[];
  references: References;
  members: readonly MemberProgress[];
  math: RunSummary["math"];
  simd: RunSummary["simd"];
  tokensPerSecond: number;
}

/** Whether the ensemble kept enough members for its measures: two, or the only one of a run with a single member. */
export function survived({ perMember, members }: RunSummary): boolean {
  return perMember.filter((m) => m.failedStep === null).length >= quorum(members);
}

export function summarise(input: SummaryInput): RunSummary {
  const { runDir, config, records, references, members, math, simd, tokensPerSecond } = input;
  const { events, labelled, detector } = readEvents(records, references, config.task.modulus);
  const information = uncertaintyTrajectory(records, config.task.modulus).map((o) => o.mutualInformation);
  const failures = members.flatMap((m) => (m.failure ? [m.failure] : []));
  const last = records.at(-1);
  const words = verdict(labelled, detector, { evaluationEvery: config.evaluation.every });
  return {
    schema: "epigrok-run/2",
    runDir,
    members: config.ensemble.members,
    steps: config.training.steps,
    verdict: [words, ...failures.map((failure) => `${capital(failure.message)}.`)].join(" "),
    ...events,
    meanPrediction: labelled.meanPrediction,
    accuracy: finalAccuracy(last?.ensemble, references),
    mutualInformation: {
      peak: detector.peakMutualInformation ?? largest(information),
      final: information.at(-1) ?? null,
    },
    tokensPerSecond,
    math,
    simd,
    perMember: members.map(({ member, failure }): MemberSummary => {
      const own = labelled.perMember.find((m) => m.member === member);
      const final = records.findLast((r) => r.members.some((m) => m.member === member));
      const record = final?.members.find((m) => m.member === member);
      return {
        member,
        memorisedStep: own?.memorisedStep ?? null,
        ...(references.trainPrompts && { generalisedStep: own?.generalisedStep ?? null }),
        grokStep: own?.grokStep ?? null,
        // NaN at step 0, before there was a loss.
        finalLoss: Number.isFinite(record?.loss) ? record!.loss : null,
        accuracy: finalAccuracy(record?.sets, references),
        failedStep: failure?.step ?? null,
      };
    }),
    references,
  };
}

/** null without an evaluation. */
function finalAccuracy(
  sets: Partial<Record<ProbeSetName, { accuracy: number }>> | undefined,
  { trainPrompts }: RunSummary["references"],
): FinalAccuracy {
  const of = (set: ProbeSetName) => sets?.[set]?.accuracy ?? null;
  return {
    seenTasks: of("seenTasks"),
    unseenTasks: of("unseenTasks"),
    ...(trainPrompts && { trainPrompts: of("trainPrompts") }),
  };
}

/** null if there are none. */
const largest = (values: number[]) => (values.length === 0 ? null : Math.max(...values));

const capital = (text: string) => text[0].toUpperCase() + text.slice(1);
