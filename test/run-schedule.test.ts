import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { answerSteps, checkpointSteps, evaluationSteps } from "../src/run/schedule.ts";
import { answerTableSize } from "../src/tasks/answer-table.ts";
import { learningRateAt } from "../src/training/learning-rate.ts";
import { freshConfig } from "./fixtures/config.ts";
import { referenceLearningRate } from "./reference/adamw.ts";

const rate = (training: object) => {
  const settings = freshConfig({ training }).training;
  return (t: number) => learningRateAt(t, settings);
};

describe("learningRateAt", () => {
  const base = { steps: 110, learningRate: 2, warmupSteps: 10, finalLearningRate: 0.1 };

  it.each(["constant", "cosine", "linear"] as const)("%s is the reference at every step", (schedule) => {
    const at = rate({ ...base, schedule });
    for (let t = 1; t <= 110; t++)
      expect(at(t)).toBeCloseTo(referenceLearningRate(t, { ...base, schedule }), 14);
  });

  it("warmup-stable-decay rises, holds the peak, and falls in a line to the last step", () => {
    const at = rate({ ...base, steps: 200, schedule: "warmup-stable-decay", decayFraction: 0.2 });
    expect([at(1), at(5)]).toEqual([0.2, 1]);
    for (let t = 10; t <= 160; t++) expect(at(t)).toBe(2);
    for (let t = 160; t <= 200; t++) expect(at(t)).toBeCloseTo(2 - (1.8 * (t - 160)) / 40, 14);
  });

  it("warmup-stable-decay never falls before the end of the warm-up, and needs no end of it", () => {
    const schedule = "warmup-stable-decay";
    const all = { ...base, steps: 20, schedule, decayFraction: 1 };
    expect([10, 15, 20].map(rate(all))).toEqual([2, 1.1, 0.2].map((x) => expect.closeTo(x, 14)));
    expect(rate({ ...all, warmupSteps: 30 })(20)).toBeCloseTo(4 / 3, 14);
    expect(rate({ ...all, warmupSteps: 20 })(20)).toBe(2);
    // A quarter, unless set.
    expect([75, 100].map(rate({ ...all, steps: 100, decayFraction: undefined }))).toEqual([2, 0.2]);
  });
});

const config = (steps: number, every: number, spacing: string, checkpoints: object = {}) =>
  freshConfig({ training: { steps }, evaluation: { every, spacing }, checkpoints });

describe("evaluationSteps", () => {
  it("is linear by default, with step 0 and the last step", () => {
    expect(evaluationSteps(config(10, 4, "linear"))).toEqual([0, 4, 8, 10]);
    expect(evaluationSteps(config(8, 4, "linear"))).toEqual([0, 4, 8]);
    expect(evaluationSteps(config(1, 250, "linear"))).toEqual([0, 1]);
  });

  it("is denser early when log-spaced, ascends, and never leaves a gap above `every`", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30000 }), fc.integer({ min: 1, max: 999 }), (steps, every) => {
        const list = evaluationSteps(config(steps, every, "log"));
        expect([list[0], list.at(-1)]).toEqual([0, steps]);
        const gaps = list.slice(1).map((step, i) => step - list[i]);
        expect(Math.min(...gaps)).toBeGreaterThan(0);
        expect(Math.max(...gaps)).toBeLessThanOrEqual(every);
        // The last gap is what was left over; all others grow.
        expect(gaps.slice(0, -1)).toEqual(gaps.slice(0, -1).sort((a, b) => a - b));
      }),
      { numRuns: 60 },
    );
    expect(evaluationSteps(config(100, 50, "log")).slice(0, 8)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });
});

describe("checkpointSteps", () => {
  it("keeps all evaluations, or only the last, when told so", () => {
    expect([...checkpointSteps(config(10, 4, "linear", { schedule: "evaluations", keep: 2 }))]).toEqual([
      0, 4, 8, 10,
    ]);
    expect([...checkpointSteps(config(10, 4, "linear", { schedule: "last" }))]).toEqual([10]);
  });

  it("is an ascending selection of the evaluations with both ends, of at most `keep`", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20000 }),
        fc.integer({ min: 1, max: 500 }),
        fc.constantFrom("linear", "log"),
        fc.integer({ min: 2, max: 40 }),
        (steps, every, spacing, keep) => {
          const settings = config(steps, every, spacing, { schedule: "log", keep });
          const evaluations = evaluationSteps(settings);
          const kept = [...checkpointSteps(settings)];
          expect(kept.length).toBeLessThanOrEqual(keep);
          expect(kept.every((step) => evaluations.includes(step))).toBe(true);
          expect(kept).toEqual([...new Set(kept)].sort((a, b) => a - b));
          expect([kept[0], kept.at(-1)]).toEqual([0, steps]);
        },
      ),
      { numRuns: 80 },
    );
  });

  it("spaces them evenly in the logarithm where evaluations are dense", () => {
    const kept = [...checkpointSteps(config(10000, 10, "linear", { schedule: "log", keep: 9 }))];
    expect(kept).toEqual([0, 10, 30, 70, 190, 520, 1390, 3730, 10000]);
  });

  it("keeps the last one if only one may be kept", () => {
    expect([...checkpointSteps(config(10, 4, "linear", { schedule: "log", keep: 1 }))]).toEqual([10]);
  });
});

describe("answerSteps", () => {
  it("are all evaluations where that costs little", () => {
    const settings = config(12000, 125, "linear");
    expect([...answerSteps(settings)]).toEqual(evaluationSteps(settings));
  });

  it("are fewer, evenly among them and with both ends, where evaluations are dense", () => {
    const dense = config(2000, 1, "linear");
    const { task, training } = dense;
    const steps = [...answerSteps(dense)];
    expect([steps[0], steps.at(-1)]).toEqual([0, 2000]);
    // Three forward passes make a gradient.
    const share = (steps.length * answerTableSize(task)) / (3 * training.steps * training.batchSize);
    expect(share).toBeGreaterThan(0.02);
    expect(share).toBeLessThanOrEqual(0.03);
    const gaps = steps.slice(1).map((step, i) => step - steps[i]);
    expect(Math.max(...gaps) - Math.min(...gaps)).toBeLessThanOrEqual(1);
  });

  it("are the first and the last in a run of a few steps", () => {
    expect([...answerSteps(config(3, 1, "linear"))]).toEqual([0, 3]);
  });
});
