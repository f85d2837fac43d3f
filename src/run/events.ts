/** The events of a run, from its evaluations: when it memorises, generalises and groks, and what shows of it. */
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import { type DetectorState, detectGrokking } from "../uncertainty/detector.ts";
import {
  type AccuracyScale,
  firstSustained,
  type LabelledEvents,
  type LabelledRun,
  normalisedAccuracy,
} from "../uncertainty/events.ts";
import type { UncertaintyObservation } from "../uncertainty/observation.ts";
import { UNLABELLED_STATISTICS } from "../uncertainty/statistics.ts";
import type { MetricsRecord, References, RunEvents } from "./records.ts";

export interface EventReading {
  events: RunEvents;
  labelled: LabelledRun;
  /** After the last evaluation. */
  detector: DetectorState;
}

/**
 * The events that the evaluations show so far, labelled and label-free.
 *
 * @param records evaluations in order of step
 * @param references chance and ceiling of each probe set
 * @param classes C
 * @throws RangeError for steps out of order and for measures that are impossible
 */
export function readEvents(
  records: readonly MetricsRecord[],
  references: References,
  classes: number,
): EventReading {
  const labelled = labelledEvents(records, references);
  const detector = detectGrokking(uncertaintyTrajectory(records, classes));
  const { memorisedStep, generalisedStep, grokStep } = labelled;
  const { uncertaintyPeakStep, collapseStep } = detector;
  const events = {
    memorisedStep,
    ...(generalisedStep !== undefined && { generalisedStep }),
    ...{ grokStep, uncertaintyPeakStep, collapseStep },
  };
  return { events, labelled, detector };
}

/**
 * The labelled events of the run and of every member that occurs in the records. The run's are those of the median of
 * its members' accuracies: the mean predictive is right as soon as the members' errors differ, long before any of them
 * has generalised, and the mean accuracy can be held down by one member alone. A member that fails during the run keeps
 * the events it had shown by then. The references give chance and ceiling.
 *
 * @param records evaluations in order of step
 * @throws RangeError as firstSustained
 */
export function labelledEvents(records: readonly MetricsRecord[], references: References): LabelledRun {
  const ofMedian = (record: MetricsRecord, set: ProbeSetName) =>
    median(record.members.flatMap(({ sets }) => sets[set]?.accuracy ?? []));
  const ofMember = (member: number) => (record: MetricsRecord, set: ProbeSetName) =>
    record.members.find((m) => m.member === member)?.sets[set]?.accuracy;
  const ofMean: AccuracyOf = ({ ensemble }, set) => ensemble[set]?.accuracy;
  const final = (set: ProbeSetName) => finalProgress(set, ofMedian, records, references);
  const members = [...new Set(records.flatMap((record) => record.members.map(({ member }) => member)))];
  return {
    ...eventsOf(ofMedian, records, references),
    final: {
      seenTasks: final("seenTasks"),
      unseenTasks: final("unseenTasks"),
      ...(references.trainPrompts && { trainPrompts: final("trainPrompts") }),
    },
    meanPrediction: eventsOf(ofMean, records, references),
    perMember: members
      .sort((a, b) => a - b)
      .map((member) => ({ member, ...eventsOf(ofMember(member), records, references) })),
  };
}

/** Whose accuracy; undefined where the record has none. */
type AccuracyOf = (record: MetricsRecord, set: ProbeSetName) => number | undefined;

function eventsOf(
  accuracyOf: AccuracyOf,
  records: readonly MetricsRecord[],
  references: References,
): LabelledEvents {
  const stepOf = (set: ProbeSetName) => {
    const scale = scaleOf(set, references);
    return scale ? firstSustained(points(set, accuracyOf, records), scale) : null;
  };
  const grokStep = stepOf("unseenTasks");
  return references.trainPrompts
    ? { memorisedStep: stepOf("trainPrompts"), generalisedStep: stepOf("seenTasks"), grokStep }
    : { memorisedStep: stepOf("seenTasks"), grokStep };
}

/** Who remembers the prompts of a pool can do better than who infers their tasks: its ceiling is a look-up table's. */
function scaleOf(set: ProbeSetName, references: References): AccuracyScale | undefined {
  const reference = references[set];
  return reference && { chance: reference.chance, ceiling: reference.lookUpCeiling ?? reference.ceiling };
}

/** Normalised accuracy at the last evaluation with the set. */
function finalProgress(
  set: ProbeSetName,
  accuracyOf: AccuracyOf,
  records: readonly MetricsRecord[],
  references: References,
): number | null {
  const scale = scaleOf(set, references);
  const last = points(set, accuracyOf, records).at(-1);
  return scale && last ? normalisedAccuracy(last.accuracy, scale) : null;
}

function points(set: ProbeSetName, accuracyOf: AccuracyOf, records: readonly MetricsRecord[]) {
  return records.flatMap((record) => {
    const accuracy = accuracyOf(record, set);
    return accuracy === undefined ? [] : [{ step: record.step, accuracy }];
  });
}

/** undefined for no values. */
function median(values: number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2;
}

/** The observations of a run on one probe set; evaluations that lack the set are left out. */
export function uncertaintyTrajectory(
  records: readonly MetricsRecord[],
  classes: number,
  set: ProbeSetName = "unseenTasks",
): UncertaintyObservation[] {
  return records.flatMap(({ step, members, ensemble }) => {
    const measures = ensemble[set];
    if (!measures) return [];
    const predicting = members.filter((member) => member.sets[set]).length;
    const statistics = Object.fromEntries(UNLABELLED_STATISTICS.map((name) => [name, measures[name]]));
    return [{ ...statistics, step, members: predicting, classes } as UncertaintyObservation];
  });
}
