/** One or two plain sentences on a run, for the terminal and the report. */
import { requireNonNegative } from "../validate.ts";
import type { DetectorState } from "./detector.ts";
import { EVENT_LEVEL, type LabelledEvents, type LabelledRun } from "./events.ts";
import { inWords, percent } from "./wording.ts";

/** Two steps coincide when they differ by at most this share of the later one, or by one evaluation. */
const COINCIDENCE = 0.1;

/** A generalisation that begins at most this factor after memorisation did not wait for it. */
export const NO_DELAY = 1.1;

/** From this normalised accuracy on, unseen tasks count as partly solved: the members' agreement is not on errors. */
const PARTIAL = 0.5;

export interface VerdictOptions {
  /** Steps between evaluations: the resolution of every event. */
  evaluationEvery?: number;
}

/**
 * What happened, and whether the label-free collapse told it.
 *
 * @param labelled the labelled events, or null for predictions without labels
 * @param detector the detector's state at the end of the run
 * @returns plain text without line breaks
 * @throws RangeError if `evaluationEvery` is negative or not finite
 */
export function verdict(
  labelled: LabelledRun | null,
  detector: DetectorState,
  { evaluationEvery = 0 }: VerdictOptions = {},
): string {
  requireNonNegative("evaluationEvery", evaluationEvery);
  if (detector.step === null) return "No evaluation yet: nothing can be said.";
  const uncertainty = uncertaintyClauses(detector);
  if (!labelled) return sentence([...uncertainty, `without labels: ${judgement(detector)}`]);
  return `${sentence([...labelledClauses(labelled), ...uncertainty])} ${sentence([
    comparison(labelled, detector, evaluationEvery),
    ...memberClauses(labelled),
  ])}`;
}

/** Clauses joined by semicolons, with a capital and a full stop. */
function sentence(clauses: string[]): string {
  const text = clauses.join("; ");
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

const ensembleSize = (members: number) => `${members} ${members === 1 ? "member" : "members"}`;

function labelledClauses(run: LabelledRun): string[] {
  const { grokStep, final } = run;
  const clauses = learningClauses(run);
  if (grokStep === null) {
    clauses.push(unmet("unseen tasks", "solved", final.unseenTasks));
  } else {
    clauses.push(`grokked at step ${grokStep}${delay(run)}${ofMeanPrediction(run)}`);
    if (final.unseenTasks !== null && final.unseenTasks < EVENT_LEVEL) {
      clauses.push(`the generalisation did not last (${percent(final.unseenTasks)} at the end)`);
    }
  }
  return clauses;
}

/** How far it came on what is trained, and with a pool on fresh prompts of the same tasks. */
function learningClauses({ memorisedStep, generalisedStep, final }: LabelledRun): string[] {
  const { seenTasks, trainPrompts } = final;
  if (trainPrompts === undefined)
    return [
      memorisedStep === null
        ? unmet("seen tasks", "memorised", seenTasks)
        : `memorised at step ${memorisedStep}`,
    ];
  return [
    memorisedStep === null
      ? unmet("the pool", "memorised", trainPrompts)
      : `memorised the pool at step ${memorisedStep}`,
    (generalisedStep ?? null) === null
      ? unmet("fresh prompts of seen tasks", "solved", seenTasks)
      : `solved fresh prompts of seen tasks at step ${generalisedStep}`,
  ];
}

function unmet(tasks: string, what: string, final: number | null): string {
  return final === null
    ? `${tasks} without a measure (no labelled evaluation, or a ceiling at chance)`
    : `${tasks} not ${what} (${percent(final)} of the way from chance to the ceiling at the end)`;
}

function delay({ memorisedStep, grokStep, final }: LabelledRun): string {
  if (memorisedStep === null || grokStep === null) return "";
  if (grokStep <= memorisedStep * NO_DELAY)
    return `, as it learnt the ${final.trainPrompts === undefined ? "seen tasks" : "pool"}: no delay`;
  return memorisedStep > 0
    ? `, ${(grokStep / memorisedStep).toFixed(1)} times the steps it took to memorise`
    : "";
}

/** With a pool, where it is not the same step. */
function ofMeanPrediction({ grokStep, final, meanPrediction }: LabelledRun): string {
  if (final.trainPrompts === undefined || meanPrediction.grokStep === grokStep) return "";
  return meanPrediction.grokStep === null
    ? " (the mean prediction did not)"
    : ` (the mean prediction at step ${meanPrediction.grokStep})`;
}

function uncertaintyClauses({
  members,
  uncertaintyPeakStep,
  peakMutualInformation,
  collapseStep,
  mutualInformation,
  phase,
  reversals,
}: DetectorState): string[] {
  if (uncertaintyPeakStep === null) {
    return [
      `uncertainty shows no peak (now ${mutualInformation!.toFixed(2)} nats, ${ensembleSize(members!)})`,
    ];
  }
  const verb = phase === "diverging" ? "highest so far" : "peaked";
  const clauses = [
    `uncertainty ${verb} at step ${uncertaintyPeakStep} (${peakMutualInformation!.toFixed(2)} nats, ${ensembleSize(members!)})`,
    collapseStep === null
      ? `no collapse seen: now ${mutualInformation!.toFixed(2)} nats`
      : `uncertainty collapsed at step ${collapseStep} (now ${mutualInformation!.toFixed(2)} nats)`,
  ];
  if (reversals.length > 0) {
    clauses.push(`earlier collapse withdrawn (step ${reversals.map((r) => r.collapseStep).join(", ")})`);
  }
  return clauses;
}

/** What the predictions alone say. */
function judgement({ phase, confidence, caveats }: DetectorState): string {
  if (phase === "collapsed")
    return `the members came to agree (confidence ${confidence}), which suggests grokking`;
  return `no sign of grokking, ${inWords(caveats[0])}`;
}

/** The label-free collapse against the labelled grok step. */
function comparison(
  { grokStep, final }: LabelledRun,
  detector: DetectorState,
  evaluationEvery: number,
): string {
  const { collapseStep } = detector;
  if (grokStep === null) {
    if (final.unseenTasks === null) return `without labels: ${judgement(detector)}`;
    if (collapseStep === null)
      return `no collapse and no grok: predictions and labels agree (${inWords(detector.caveats[0])})`;
    if (final.unseenTasks >= PARTIAL) {
      return `the uncertainty collapsed while generalisation is partial (${percent(final.unseenTasks)} at the end)`;
    }
    return "the uncertainty collapsed without generalisation: the diagnostic is wrong here, the members agree on wrong answers";
  }
  if (collapseStep === null) {
    return `it grokked without a collapse: the diagnostic misses it (${inWords(detector.caveats[0])})`;
  }
  const difference = collapseStep - grokStep;
  const tolerance = Math.max(evaluationEvery, COINCIDENCE * Math.max(collapseStep, grokStep));
  const steps = `${Math.abs(difference)} steps`;
  if (Math.abs(difference) <= tolerance) {
    return difference === 0
      ? "the label-free collapse coincides with the grok step"
      : `the label-free collapse coincides with the grok step (${steps} ${difference < 0 ? "before" : "after"})`;
  }
  return `the label-free collapse ${difference < 0 ? "precedes" : "follows"} the grok step by ${steps}`;
}

function memberClauses({ perMember, final }: LabelledRun): string[] {
  if (perMember.length === 0) return [];
  const having = (event: keyof LabelledEvents) =>
    perMember.filter((own) => (own[event] ?? null) !== null).length;
  const grokked = `${having("grokStep")} of ${perMember.length} members grokked`;
  if (final.trainPrompts === undefined) return [grokked];
  return [`${grokked}, ${having("generalisedStep")} generalised, ${having("memorisedStep")} memorised`];
}
