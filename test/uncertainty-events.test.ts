import { describe, expect, it } from "vitest";
import { labelledEvents, uncertaintyTrajectory } from "../src/run/events.ts";
import type { MetricsRecord } from "../src/run/records.ts";
import type { ProbeReference } from "../src/tasks/probes.ts";
import { firstSustained, normalisedAccuracy } from "../src/uncertainty/events.ts";
import type { PredictiveMeasures } from "../src/uncertainty/measures.ts";

const scale = { chance: 0.1, ceiling: 0.9 };
/** Accuracy at this normalised level, with a hair to spare for rounding. */
const level = (share: number) => 0.1 + 0.8 * share + 1e-12;
const trajectory = (...shares: number[]) =>
  shares.map((share, i) => ({ step: 100 * i, accuracy: level(share) }));

describe("normalisedAccuracy", () => {
  it("is 0 at chance, 1 at the ceiling, and may exceed it", () => {
    expect(normalisedAccuracy(0.1, scale)).toBe(0);
    expect(normalisedAccuracy(0.9, scale)).toBe(1);
    expect(normalisedAccuracy(0.98, scale)).toBeCloseTo(1.1, 12);
    expect(normalisedAccuracy(0.02, scale)).toBeCloseTo(-0.1, 12);
  });
  it("is null where nothing can be gained", () => {
    expect(normalisedAccuracy(0.2, { chance: 0.2, ceiling: 0.2 })).toBeNull();
    expect(normalisedAccuracy(0.2, { chance: 0.2, ceiling: 0.1 })).toBeNull();
  });
  it("accepts a ceiling of 1 with rounding", () => {
    expect(normalisedAccuracy(1, { chance: 0, ceiling: 1 + 2e-15 })).toBeCloseTo(1, 12);
  });
});

describe("firstSustained", () => {
  it("finds the first of three evaluations in a row", () => {
    expect(firstSustained(trajectory(0, 0.5, 0.9, 0.95, 1, 1), scale)).toBe(200);
    expect(firstSustained(trajectory(1, 1, 1), scale)).toBe(0);
  });
  it("starts again after an interruption", () => {
    expect(firstSustained(trajectory(0.9, 0.9, 0.89, 0.9, 0.9, 0.9), scale)).toBe(300);
    expect(firstSustained(trajectory(0.9, 0.9, 0.89, 0.9, 0.9), scale)).toBeNull();
  });
  it("is unknown until the third evaluation, and stays known after a fall", () => {
    const shares = [0, 1, 1, 1, 0, 0];
    const known = shares.map((_, i) => firstSustained(trajectory(...shares.slice(0, i + 1)), scale));
    expect(known).toEqual([null, null, null, 100, 100, 100]);
  });
  it("has no event without evaluations, and none where the ceiling is at chance", () => {
    expect(firstSustained([], scale)).toBeNull();
    expect(firstSustained(trajectory(1, 1, 1, 1), { chance: 0.5, ceiling: 0.5 })).toBeNull();
  });
  it("takes another level and another number of evaluations", () => {
    expect(firstSustained(trajectory(0, 0.5, 0.5), scale, { level: 0.5, evaluations: 2 })).toBe(100);
    expect(firstSustained(trajectory(0, 0.4, 1), scale, { level: 1, evaluations: 1 })).toBe(200);
  });
  it("rejects bad input", () => {
    const at = (step: number, accuracy: number) => ({ step, accuracy });
    expect(() => firstSustained([at(1, 0.5), at(1, 0.5)], scale)).toThrow(/trajectory\[1\]\.step/);
    expect(() => firstSustained([at(Number.NaN, 0.5)], scale)).toThrow(/step/);
    expect(() => firstSustained([at(1, Number.NaN)], scale)).toThrow(/accuracy.*NaN/);
    expect(() => firstSustained([at(1, 1.2)], scale)).toThrow(/accuracy.*1\.2/);
    expect(() => firstSustained([at(1, 1)], { chance: -1, ceiling: 1 })).toThrow(/chance/);
    expect(() => firstSustained([], scale, { level: 0 })).toThrow(/level/);
    expect(() => firstSustained([], scale, { evaluations: 2.5 })).toThrow(/evaluations/);
  });
});

const reference = (ceiling: number): ProbeReference => ({
  prompts: 10,
  positions: 2,
  chance: 0.1,
  ceiling,
  ceilingByPosition: [0.1, ceiling],
  memorisingAccuracy: 1,
  entropyG: 0,
  supportM: 1,
});
const references = { seenTasks: reference(0.9), unseenTasks: reference(0.9) };

const measures = (accuracy: number): PredictiveMeasures => ({
  accuracy,
  accuracyByPosition: [0.1, accuracy],
  nll: 1,
  entropy: 1,
});

/** One evaluation from accuracies: of the ensemble, then of the members that still predict; [seen, unseen]. */
function record(
  step: number,
  ensemble: [number, number],
  ...members: ([number, number] | null)[]
): MetricsRecord {
  const full = (accuracy: number) => ({
    ...measures(accuracy),
    brier: 0,
    ece: 0,
    adaptiveEce: 0,
    totalEntropy: 1.5,
    expectedEntropy: 1,
    mutualInformation: 0.5,
    disagreement: 0.25,
    variance: 0,
    mutualInformationByPosition: [],
    expectedEntropyByPosition: [],
    totalEntropyByPosition: [],
    distanceM: { jensenShannon: 0, totalVariation: 0 },
    distanceG: { jensenShannon: 0, totalVariation: 0 },
    relativeDistance: null,
  });
  return {
    step,
    tokens: 0,
    learningRate: 0,
    members: members.map((accuracies, member) => ({
      member,
      loss: 1,
      gradientNorm: 1,
      sets: accuracies ? { seenTasks: measures(accuracies[0]), unseenTasks: measures(accuracies[1]) } : {},
    })),
    ensemble: { seenTasks: full(ensemble[0]), unseenTasks: full(ensemble[1]) },
  };
}

describe("labelledEvents", () => {
  // The ensemble's own predictive is right from step 10 on: it must not matter. Member 1 fails after step 30.
  const records = [
    record(0, [0.1, 0.1], [0.1, 0.1], [0.1, 0.1], [0.1, 0.1]),
    record(10, [0.9, 0.9], [0.9, 0.1], [0.2, 0.1], [0.85, 0.1]),
    record(20, [0.9, 0.9], [0.9, 0.9], [0.2, 0.1], [0.85, 0.1]),
    record(30, [0.9, 0.9], [0.9, 0.9], [0.9, 0.1], [0.85, 0.9]),
    record(40, [0.9, 0.9], [0.9, 0.9], null, [0.85, 0.9]),
    record(50, [0.9, 0.9], [0.5, 0.9], null, [0.5, 0.5]),
  ];

  it("gives the events of the median member, of each member, and the final normalised accuracy", () => {
    const events = labelledEvents(records, references);
    expect(events.memorisedStep).toBe(10);
    expect(events.grokStep).toBeNull();
    expect(labelledEvents(records.slice(0, 5), references).grokStep).toBeNull();
    expect(labelledEvents([...records.slice(0, 5), { ...records[4], step: 50 }], references).grokStep).toBe(
      30,
    );
    expect(events.final.seenTasks).toBeCloseTo(0.5, 12);
    expect(events.final.unseenTasks).toBeCloseTo(0.75, 12);
    expect(events.perMember).toEqual([
      { member: 0, memorisedStep: 10, grokStep: 20 },
      { member: 1, memorisedStep: null, grokStep: null },
      { member: 2, memorisedStep: 10, grokStep: null },
    ]);
  });
  it("gives the events of the mean prediction apart", () => {
    expect(labelledEvents(records, references).meanPrediction).toEqual({ memorisedStep: 10, grokStep: 10 });
  });
  it("with a pool, is memorised on the pool, where the ceiling is a look-up table's, and generalised on fresh prompts", () => {
    const withPool = (of: MetricsRecord, accuracy: number): MetricsRecord => ({
      ...of,
      members: of.members.map((member) => ({
        ...member,
        sets: Object.keys(member.sets).length > 0 ? { ...member.sets, trainPrompts: measures(accuracy) } : {},
      })),
      ensemble: { ...of.ensemble, trainPrompts: { ...of.ensemble.seenTasks!, ...measures(accuracy) } },
    });
    const pool = { ...references, trainPrompts: { ...reference(0.5), lookUpCeiling: 1 } };
    const at = (accuracies: number[]) =>
      labelledEvents(
        records.map((of, i) => withPool(of, accuracies[i])),
        pool,
      );
    const events = at([0.95, 0.95, 0.95, 1, 1, 1]);
    expect(events).toMatchObject({ memorisedStep: 0, generalisedStep: 10, grokStep: null });
    expect(events.final).toMatchObject({ trainPrompts: 1 });
    expect(events.meanPrediction).toEqual({ memorisedStep: 0, generalisedStep: 10, grokStep: 10 });
    expect(events.perMember).toEqual([
      { member: 0, memorisedStep: 0, generalisedStep: 10, grokStep: 20 },
      { member: 1, memorisedStep: 0, generalisedStep: null, grokStep: null },
      { member: 2, memorisedStep: 0, generalisedStep: 10, grokStep: null },
    ]);
    // The ceiling of the Bayes-optimal predictor is passed long before the pool is memorised.
    expect(at([0.5, 0.6, 0.7, 0.95, 0.95, 0.95]).memorisedStep).toBe(30);
  });
  it("measures each set against its own ceiling", () => {
    // 0.85 is only 0.83 of the way to a ceiling of 1.
    expect(labelledEvents(records, { ...references, seenTasks: reference(1) }).memorisedStep).toBeNull();
  });
  it("has no events without records or references", () => {
    const none = { memorisedStep: null, grokStep: null, final: { seenTasks: null, unseenTasks: null } };
    const meanPrediction = { memorisedStep: null, grokStep: null };
    expect(labelledEvents([], references)).toEqual({ ...none, meanPrediction, perMember: [] });
    expect(labelledEvents(records, {})).toMatchObject(none);
  });
});

describe("uncertaintyTrajectory", () => {
  it("reads the measures of a set and counts the members that predict", () => {
    const records = [record(0, [0.1, 0.1], [0.1, 0.1], [0.1, 0.1]), record(10, [0.1, 0.1], [0.1, 0.1], null)];
    const common = {
      mutualInformation: 0.5,
      totalEntropy: 1.5,
      expectedEntropy: 1,
      disagreement: 0.25,
      variance: 0,
      classes: 23,
    };
    expect(uncertaintyTrajectory(records, 23)).toEqual([
      { step: 0, members: 2, ...common },
      { step: 10, members: 1, ...common },
    ]);
    expect(uncertaintyTrajectory(records, 23, "seenTasksUnseenInputs")).toEqual([]);
  });
});
