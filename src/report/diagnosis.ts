/** What one run says about the diagnostic itself: where low uncertainty was right, early, late or misleading. */
import type { MetricsRecord } from "../run/records.ts";
import type { EnsembleMeasures } from "../uncertainty/measures.ts";
import { inWords } from "../uncertainty/wording.ts";
import { membersOf } from "./figures/events.ts";
import { formatNumber, formatPercent, formatStep } from "./format.ts";
import type { RunData } from "./read-run.ts";

/** Share of the peak below which MI counts as low in these remarks. */
const lowShare = 0.2;
/** Share of the way from chance to the ceiling below which answers count as wrong in these remarks. */
const goodShare = 0.9;

/** Remarks in words, each with the numbers it rests on. Empty for a run without two evaluations. */
export function diagnose(run: RunData): string[] {
  if (run.records.filter((record) => record.ensemble.unseenTasks).length < 2) return [];
  return [
    leadOrLag(run),
    atCollapse(run),
    ...detectorRemarks(run),
    beforeTraining(run),
    atTheEnd(run),
    againstG(run),
    transience(run),
    alongTheContext(run),
    saturation(run),
    failures(run),
  ].filter((remark) => remark !== null);
}

function leadOrLag(run: RunData): string | null {
  if (run.summary === null) return null;
  const { collapseStep, grokStep } = run.events;
  if (collapseStep === null && grokStep === null) {
    return "Neither a collapse of MI nor grokking was seen: the diagnostic raised no alarm, and none was due.";
  }
  if (grokStep === null) {
    return `MI collapsed at step ${formatStep(collapseStep)}, but the run did not grok within ${formatStep(lastStep(run))} steps: the label-free signal alone would have misled.`;
  }
  if (collapseStep === null) {
    return `The run grokked at step ${formatStep(grokStep)}, but MI did not collapse: the label-free signal missed it.`;
  }
  const lead = grokStep - collapseStep;
  if (lead === 0)
    return `MI collapsed and the run grokked at the same evaluation, step ${formatStep(grokStep)}.`;
  const share = formatPercent(Math.abs(lead) / grokStep);
  return `MI collapsed at step ${formatStep(collapseStep)}: ${formatStep(Math.abs(lead))} steps (${share} of the steps to grokking) ${lead > 0 ? "before" : "after"} the run grokked at step ${formatStep(grokStep)}.`;
}

/** How sure the detector is of a standing collapse, and what it warns of. */
function detectorRemarks({ detector }: RunData): string[] {
  const confidence =
    detector.collapseStep === null
      ? []
      : [`From the predictions alone, confidence in the collapse: ${detector.confidence}.`];
  const reversals = detector.reversals.map(
    ({ collapseStep, withdrawnStep }) =>
      `An earlier collapse at step ${formatStep(collapseStep)} was withdrawn at step ${formatStep(withdrawnStep)}.`,
  );
  return [...confidence, ...reversals, ...detector.caveats.map((caveat) => asSentence(inWords(caveat)))];
}

function asSentence(clause: string): string {
  return `${clause[0].toUpperCase()}${clause.slice(1)}${clause.endsWith(".") ? "" : "."}`;
}

function atCollapse(run: RunData): string | null {
  const { collapseStep } = run.events;
  const measures = collapseStep === null ? undefined : unseenAt(run, collapseStep);
  if (!measures) return null;
  const solved = share(run, measures.accuracy);
  const known = solved === null ? "" : `, ${formatPercent(solved)} of the way from chance to the ceiling`;
  return `At the collapse the accuracy on unseen tasks was ${formatPercent(measures.accuracy)}${known}; MI was ${formatNumber(measures.mutualInformation)} nats.`;
}

function beforeTraining(run: RunData): string | null {
  const first = unseen(run.records[0]);
  const peak = peakInformation(run);
  if (!first || first.mutualInformation > lowShare * peak) return null;
  return `MI began at ${formatNumber(first.mutualInformation)} nats and peaked at ${formatNumber(peak)} nats: a fixed threshold would have called the untrained members grokked, since members that know nothing agree too.`;
}

function atTheEnd(run: RunData): string | null {
  const last = unseen(run.records[run.records.length - 1]);
  const solved = last ? share(run, last.accuracy) : null;
  if (!last || solved === null) return null;
  const low = last.mutualInformation < lowShare * peakInformation(run);
  if (low && solved < goodShare) {
    return `At the end the members agree (MI ${formatNumber(last.mutualInformation)} nats) on answers of which only ${formatPercent(last.accuracy)} are right: agreement without generalisation.`;
  }
  if (!low && solved >= goodShare) {
    return `At the end the answers are right (${formatPercent(last.accuracy)}) while the members still differ in their probabilities (MI ${formatNumber(last.mutualInformation)} nats).`;
  }
  return null;
}

function againstG(run: RunData): string | null {
  const last = unseen(run.records[run.records.length - 1]);
  const entropyG = run.summary?.references.unseenTasks?.entropyG;
  if (!last || entropyG === undefined) return null;
  return `The members' expected entropy ended at ${formatNumber(last.expectedEntropy)} nats; the exact predictor G has ${formatNumber(entropyG)} nats, the uncertainty that the context itself leaves.`;
}

function transience(run: RunData): string | null {
  const { grokStep } = run.events;
  if (grokStep === null) return null;
  const after = run.records.filter((record) => record.step >= grokStep);
  const best = Math.max(...after.map((record) => unseen(record)?.accuracy ?? 0));
  const last = unseen(run.records[run.records.length - 1])?.accuracy ?? best;
  return best - last > 0.1
    ? `Generalisation was transient: accuracy on unseen tasks fell from ${formatPercent(best)} to ${formatPercent(last)} after grokking.`
    : null;
}

function alongTheContext(run: RunData): string | null {
  const last = unseen(run.records[run.records.length - 1]);
  const values = last?.mutualInformationByPosition ?? [];
  const top = values.indexOf(Math.max(...values));
  if (values.length < 3 || top <= 0 || top === values.length - 1) return null;
  return `At the end MI is not monotone in the context: it is highest after ${top} ${top === 1 ? "example" : "examples"} (${formatNumber(values[top])} nats) and falls to ${formatNumber(values[values.length - 1])} nats after ${values.length - 1}.`;
}

function saturation(run: RunData): string | null {
  const bound = Math.log(Math.min(membersOf(run), run.config.task.modulus));
  const peak = peakInformation(run);
  return bound > 0 && peak > 0.9 * bound
    ? `The peak of MI (${formatNumber(peak)} nats) is close to the bound log K = ${formatNumber(bound)}: with more members it would be higher.`
    : null;
}

function failures(run: RunData): string | null {
  const failed = run.summary?.perMember.filter((member) => member.failedStep !== null) ?? [];
  if (failed.length === 0) return null;
  const list = failed.map((member) => `${member.member} (step ${formatStep(member.failedStep)})`).join(", ");
  return `The loss or the predictions became non-finite in member ${list}; later measures are over the remaining members.`;
}

/** Share of the way from chance to the ceiling; null without references. */
function share(run: RunData, accuracy: number): number | null {
  const reference = run.summary?.references.unseenTasks;
  return reference ? (accuracy - reference.chance) / (reference.ceiling - reference.chance) : null;
}

function peakInformation(run: RunData): number {
  return Math.max(...run.records.map((record) => unseen(record)?.mutualInformation ?? 0));
}

function unseenAt(run: RunData, step: number): EnsembleMeasures | undefined {
  const record = run.records.find((candidate) => candidate.step === step);
  return record && unseen(record);
}

function unseen(record: MetricsRecord): EnsembleMeasures | undefined {
  return record.ensemble.unseenTasks;
}

function lastStep(run: RunData): number {
  return run.records[run.records.length - 1].step;
}
