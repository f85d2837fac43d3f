/** The diagnosis of predictions: states, estimates, alarm, and refusals with the first offence. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { consensusAccuracy } from "../src/diagnosis/consensus.ts";
import { ESTIMATOR_NAMES } from "../src/diagnosis/estimators.ts";
import { parseEvaluation } from "../src/diagnosis/stream.ts";
import { type DiagnoseOptions, Diagnosis, diagnose } from "../src/index.ts";
import { normals, stream, uniform, uniformInt } from "../src/random.ts";

interface Course {
  steps: number[];
  members?: number;
  prompts?: number;
  classes?: number;
  /** Logit of the right class, and of a wrong one that is a member's own, at an evaluation. */
  insight: (step: number) => number;
  memory: (step: number) => number;
  /** Share of the prompts that there is insight into. Default 1. */
  known?: number;
  seed?: number;
}

/** Logits of members that guess, then are sure of their own wrong answers, then know. */
function course({
  steps,
  members = 4,
  prompts = 200,
  classes = 11,
  insight,
  memory,
  known = 1,
  seed = 1,
}: Course) {
  const rng = stream(seed, 0, "evaluation", 0);
  const labels = Int32Array.from({ length: prompts }, () => uniformInt(rng, classes));
  const wrong = Int32Array.from({ length: members * prompts }, () => uniformInt(rng, classes));
  const data = new Float32Array(steps.length * members * prompts * classes);
  normals(rng, data);
  steps.forEach((step, s) => {
    for (let row = 0; row < members * prompts; row++) {
      const at = (s * members * prompts + row) * classes;
      for (let c = 0; c < classes; c++) data[at + c] *= 0.3;
      if (row % prompts < known * prompts) data[at + labels[row % prompts]] += insight(step);
      data[at + wrong[row]] += memory(step);
    }
  });
  return { predictions: { shape: [steps.length, members, prompts, classes], data }, labels, steps };
}

const steps = Array.from({ length: 16 }, (_, i) => 100 * i);
const grokking = course({
  steps,
  insight: (step) => (step >= 1000 ? 9 : 0),
  memory: (step) => (step === 0 ? 0 : 5),
});

describe("a course through training", () => {
  const result = diagnose({ ...grokking, logits: true });

  it("is untrained, memorising and generalising in turn", () => {
    expect(result.evaluations.map(({ state }) => state)).toEqual([
      "untrained",
      ...Array(9).fill("memorising"),
      ...Array(6).fill("generalising"),
    ]);
    expect(result).toMatchObject({
      ...{ schema: "epigrok-diagnosis/1", state: "generalising", alarmStep: 1000, collapseStep: 1000 },
      ...{ prompts: 200, classes: 11, chance: 1 / 11, ceiling: 1 },
    });
    expect(result.probability).toBeGreaterThan(0.9);
  });

  it("has an accuracy that its interval holds, and labels change nothing", () => {
    for (const { estimatedAccuracy, accuracy, state } of result.evaluations)
      if (state !== "untrained") {
        expect(accuracy).toBeGreaterThanOrEqual(estimatedAccuracy.low);
        expect(accuracy).toBeLessThanOrEqual(estimatedAccuracy.high + 1e-9);
      }
    const blind = diagnose({ ...grokking, labels: undefined, logits: true });
    const without = result.evaluations.map((each) => ({ ...each, accuracy: null }));
    expect(blind).toEqual({ ...result, evaluations: without });
  });

  it("is within an interval of whole prompts, as wide as so few allow", () => {
    const few = course({ steps: [0], prompts: 16, insight: () => 9, memory: () => 0 });
    const { estimatedAccuracy, evaluations } = diagnose({ ...few, logits: true });
    expect(evaluations[0].accuracy).toBe(1);
    expect(estimatedAccuracy.high).toBe(1);
    expect(estimatedAccuracy.low * 16).toBeCloseTo(Math.round(estimatedAccuracy.low * 16), 12);
    // Sixteen of sixteen, by Wilson: 0.806.
    expect(estimatedAccuracy.low).toBeLessThan(0.806);
    expect(result.evaluations.at(-1)!.estimatedAccuracy.low).toBeGreaterThan(0.9);
  });

  it("is the same one evaluation at a time", () => {
    const diagnosis = new Diagnosis({ logits: true });
    const [, members, prompts, classes] = grokking.predictions.shape;
    const size = members * prompts * classes;
    steps.forEach((step, s) => {
      const data = grokking.predictions.data.subarray(s * size, (s + 1) * size);
      const predictions = { shape: [members, prompts, classes], data };
      expect(diagnosis.push({ step, predictions, labels: grokking.labels })).toEqual(result.evaluations[s]);
    });
    expect(diagnosis.result).toEqual(result);
  });

  it("is the same from probabilities of less precision", () => {
    const rounded = grokking.predictions.data.slice();
    const [, , , classes] = grokking.predictions.shape;
    for (let at = 0; at < rounded.length; at += classes) {
      const row = rounded.subarray(at, at + classes);
      const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
      // Seven bits of fraction, as bfloat16 has.
      row.forEach((logit, c) => {
        const p = Math.exp(logit) / sum;
        row[c] =
          p === 0
            ? 0
            : Math.round(p / 2 ** (Math.floor(Math.log2(p)) - 7)) * 2 ** (Math.floor(Math.log2(p)) - 7);
      });
    }
    const coarse = diagnose({ ...grokking, predictions: { ...grokking.predictions, data: rounded } });
    expect(coarse.evaluations.map(({ state }) => state)).toEqual(
      result.evaluations.map(({ state }) => state),
    );
  });

  it("never grokking raises no alarm", () => {
    const never = course({ steps, insight: () => 0, memory: (step) => (step === 0 ? 0 : 6) });
    expect(diagnose({ ...never, logits: true })).toMatchObject({ state: "memorising", alarmStep: null });
  });

  it("that only becomes right in the last two evaluations raises none yet", () => {
    const late = course({ steps, insight: (step) => (step >= 1400 ? 9 : 0), memory: () => 5 });
    expect(diagnose({ ...late, logits: true })).toMatchObject({ state: "generalising", alarmStep: null });
  });
});

describe("what there is to go by", () => {
  it("labels of seen tasks add two estimates", () => {
    const seen = course({ steps, insight: (step) => (step === 0 ? 0 : 9), memory: () => 0, seed: 2 });
    const result = diagnose({
      ...{ ...grokking, logits: true },
      seen: { predictions: seen.predictions, labels: seen.labels },
    });
    for (const { estimates, seenAccuracy, step } of result.evaluations) {
      expect(Object.keys(estimates)).toEqual(ESTIMATOR_NAMES);
      const { cycle, ...others } = estimates;
      expect(cycle).toBeNull();
      for (const value of Object.values(others)) expect(value).not.toBeNull();
      if (step > 0) expect(seenAccuracy).toBe(1);
    }
    expect(result.alarmStep).toBe(1000);
  });

  it("one member has no agreement, and alone it is not believed", () => {
    const one = course({ steps, members: 1, insight: () => 0, memory: () => 9 });
    const result = diagnose({ ...one, logits: true });
    const last = result.evaluations.at(-1)!;
    expect(last.estimates).toMatchObject({ consensus: null, agreement: null, difference: null });
    expect(last.estimates.confidence).toBeGreaterThan(0.9);
    expect(result).toMatchObject({ state: "undecided", alarmStep: null });
  });

  it("two classes, or thousands", () => {
    for (const [classes, prompts] of [
      [2, 200],
      [4096, 10],
    ]) {
      const made = course({ steps: [0, 1, 2], classes, prompts, insight: () => 30, memory: () => 0 });
      const result = diagnose({ ...made, logits: true });
      expect(result).toMatchObject({ state: "generalising", alarmStep: 0, classes });
    }
  });

  it("a ceiling below 1 is what has to be reached", () => {
    const part = course({ steps, known: 0.7, insight: () => 9, memory: () => 5 });
    const result = diagnose({ ...part, logits: true });
    expect(result).toMatchObject({ state: "memorising", alarmStep: null });
    expect(result.estimatedAccuracy.value).toBeCloseTo(0.72, 1);
    expect(diagnose({ ...part, logits: true, ceiling: 0.7 })).toMatchObject({ alarmStep: 0, ceiling: 0.7 });
  });

  it("members may drop out", () => {
    const diagnosis = new Diagnosis({ logits: true });
    for (const [step, members] of [4, 4, 3].entries()) {
      const { predictions } = course({ steps: [0], members, insight: () => 9, memory: () => 0 });
      const row = diagnosis.push({
        step,
        predictions: { ...predictions, shape: predictions.shape.slice(1) },
      });
      expect(row.members).toBe(members);
    }
  });
});

describe("the consensus of members", () => {
  const rng = stream(3, 0, "evaluation", 0);
  /** Votes of members of these skills; on a share of the prompts all guess. */
  const vote = (skills: number[], { prompts = 2000, classes = 29, open = 0 }) => {
    const truth = Int32Array.from({ length: prompts }, () => uniformInt(rng, classes));
    const votes = skills.map((skill) =>
      truth.map((right, b) =>
        b >= open * prompts && uniform(rng) < skill
          ? right
          : (right + 1 + uniformInt(rng, classes - 1)) % classes,
      ),
    );
    const correct = (answers: Int32Array) =>
      answers.filter((answer, b) => answer === truth[b]).length / prompts;
    return { votes, correct, classes };
  };

  it.each([
    [[0.9, 0.9, 0.9, 0.9], 0],
    [[0.95, 0.95, 0.05, 0.05], 0],
    [[0.3, 0.6, 0.9], 0],
    [[0.95, 0.9, 0.95, 0.2], 0.3],
    [Array(16).fill(0.5), 0.1],
  ])("finds how often each is right: skills %j, %s open", (skills, open) => {
    const { votes, correct, classes } = vote(skills, { open });
    for (const own of votes)
      expect(Math.abs(consensusAccuracy(votes, own, classes) - correct(own))).toBeLessThan(0.06);
  });

  it("of two classes, and of thousands", () => {
    for (const classes of [2, 5000]) {
      const { votes, correct } = vote([0.9, 0.95, 0.85], { classes });
      expect(Math.abs(consensusAccuracy(votes, votes[1], classes) - correct(votes[1]))).toBeLessThan(0.05);
    }
  });

  it("of any votes is a share", () => {
    const votes = fc.array(fc.array(fc.nat(4), { minLength: 5, maxLength: 5 }), {
      minLength: 1,
      maxLength: 5,
    });
    fc.assert(
      fc.property(votes, (given) => {
        const each = given.map((own) => Int32Array.from(own));
        const value = consensusAccuracy(each, each[0], 5);
        expect(value).toBeGreaterThanOrEqual(0);
        expect(value).toBeLessThanOrEqual(1);
      }),
    );
  });

  it("that all are wrong in the same way is not seen", () => {
    const { votes } = vote([1, 1, 1], {});
    const same = votes.map((own) => own.map((answer) => (answer + 1) % 29));
    expect(consensusAccuracy(same, same[0], 29)).toBeGreaterThan(0.99);
  });
});

describe("prompts asked back", () => {
  const [members, prompts, classes] = [3, 400, 10];
  const labels = Int32Array.from({ length: prompts }, (_, b) => b % classes);
  /** Predictions that are sure of (member, prompt) -> class. */
  const sure = (answer: (m: number, b: number) => number) => {
    const data = new Float64Array(members * prompts * classes);
    for (let m = 0; m < members; m++)
      for (let b = 0; b < prompts; b++) data[(m * prompts + b) * classes + answer(m, b)] = 1;
    return { shape: [members, prompts, classes], data };
  };
  const wrong = (b: number) => (labels[b] + 1 + (b % 7)) % classes;
  const diagnosisOf = (
    answer: (m: number, b: number) => number,
    back: (m: number, b: number) => number,
    settings = {},
  ) => {
    const diagnosis = new Diagnosis(settings);
    const seen = { predictions: sure((_, b) => labels[b]), labels };
    return diagnosis.push({
      ...{ step: 0, predictions: sure(answer), seen },
      cycle: { predictions: sure(back), labels },
    });
  };

  it("tell members that are wrong in the same way", () => {
    const same = diagnosisOf(
      (_, b) => wrong(b),
      (_, b) => wrong(b),
    );
    expect(same.estimates.consensusDifference).toBeGreaterThan(0.99);
    expect(same).toMatchObject({ state: "memorising", estimatedAccuracy: { value: 1 / classes } });
    expect(same.estimatedAccuracy.high).toBeLessThan(0.25);
    const right = diagnosisOf(
      (_, b) => labels[b],
      (_, b) => labels[b],
    );
    expect(right).toMatchObject({ state: "generalising", estimatedAccuracy: { value: 1, high: 1 } });
  });

  it("give the accuracy where prompts are solved both ways or not at all, or each way by itself", () => {
    const rng = stream(5, 0, "evaluation", 0);
    const ways = [0, 1].map(() => Float64Array.from({ length: prompts }, () => uniform(rng)));
    for (const share of [0.3, 0.6, 0.9]) {
      const solves = (way: number, b: number) => ways[way][b] < share;
      const accuracy = ways[0].filter((z) => z < share).length / prompts;
      for (const way of [0, 1]) {
        const { estimatedAccuracy } = diagnosisOf(
          (_, b) => (solves(0, b) ? labels[b] : wrong(b)),
          // From a wrong answer nobody comes back.
          (_, b) => (solves(0, b) && solves(way, b) ? labels[b] : wrong(b)),
          { chance: 0, ceiling: 1 },
        );
        expect(Math.abs(estimatedAccuracy.value - accuracy)).toBeLessThan(0.14);
        expect(estimatedAccuracy.low).toBeLessThan(accuracy);
        expect(estimatedAccuracy.high).toBeGreaterThan(accuracy);
      }
    }
  });

  it("take the mean of those that give the answer", () => {
    // All give it and two come back; then one comes back that gives another.
    const one = diagnosisOf(
      (_, b) => labels[b],
      (m, b) => (m === 1 ? wrong(b) : labels[b]),
    );
    expect(one.estimatedAccuracy.value).toBe(1);
    const lonely = diagnosisOf(
      (m, b) => (m === 1 ? labels[b] : wrong(b)),
      (m, b) => (m === 1 ? labels[b] : wrong(b)),
    );
    expect(lonely.estimatedAccuracy.value).toBe(1 / classes);
  });

  it("do not count what comes back by chance", () => {
    const rng = stream(6, 0, "evaluation", 0);
    const guesses = Int32Array.from({ length: members * prompts }, () => uniformInt(rng, classes));
    const guessing = diagnosisOf(
      (_, b) => wrong(b),
      (m, b) => guesses[m * prompts + b],
    );
    // A tenth comes back.
    expect(guessing.estimatedAccuracy.value).toBeLessThan(0.2);
    expect(guessing.estimatedAccuracy.low).toBeLessThan(0.12);
  });

  it("can come back as often as their ceiling says", () => {
    const some = (b: number) => (b % 5 === 0 ? wrong(b) : labels[b]);
    const settings = { ceiling: 0.9, cycleCeiling: 0.8 };
    const open = diagnosisOf(
      (_, b) => labels[b],
      (_, b) => some(b),
      settings,
    );
    expect(open.estimatedAccuracy.value).toBeCloseTo(0.9, 12);
    const same = diagnosisOf(
      (_, b) => labels[b],
      (_, b) => some(b),
      { ceiling: 0.8 },
    );
    expect(same.estimatedAccuracy.value).toBeCloseTo(0.8, 12);
  });

  it("make one member's word count", () => {
    const part = ({ data }: ReturnType<typeof sure>) => ({
      shape: [1, prompts, classes],
      data: data.subarray(0, prompts * classes),
    });
    const cycle = { predictions: part(sure((_, b) => labels[b])), labels };
    const predictions = part(sure((_, b) => labels[b]));
    const diagnosis = new Diagnosis();
    for (const step of [0, 1, 2]) diagnosis.push({ step, predictions, cycle });
    expect(diagnosis.result).toMatchObject({ state: "generalising", alarmStep: 0 });
  });

  it("may be in a line of a stream, with their labels", () => {
    const line = { step: 1, predictions: [[[1, 0]]], cycle: [[[0, 1]]], cycleLabels: [1] };
    expect(parseEvaluation(JSON.stringify(line)).cycle).toEqual({
      predictions: { shape: [1, 1, 2], data: Float64Array.of(0, 1) },
      labels: [1],
    });
    const { cycleLabels, ...without } = line;
    expect(() => parseEvaluation(JSON.stringify(without))).toThrow(/with cycle and cycleLabels/);
  });
});

describe("refusals", () => {
  const flat = (shape: number[], value = 1 / shape[shape.length - 1]) => ({
    shape,
    data: new Float64Array(shape.reduce((product, n) => product * n, 1)).fill(value),
  });
  const changed = (at: number, value: number) => {
    const array = flat([2, 2, 2, 4]);
    array.data[at] = value;
    return { predictions: array };
  };

  it.each<[string, DiagnoseOptions, RegExp]>([
    ["nothing", {} as DiagnoseOptions, /^predictions: got undefined, must be an array, with shape and data/],
    [
      "lists",
      { predictions: { shape: [1, 1, 1, 2], data: [0.5, 0.5] } } as never,
      /^data of predictions: got Array, must be of type Float32Array or Float64Array/,
    ],
    [
      "no steps",
      { predictions: flat([2, 2, 4]) },
      /^shape of predictions: got \[2,2,4\], must be 4 dimensions/,
    ],
    ["no prompts", { predictions: flat([2, 2, 0, 4]) }, /^shape of predictions: got \[2,2,0,4\]/],
    [
      "a shape of other data",
      { predictions: { ...flat([2, 2, 2, 4]), shape: [2, 2, 3, 4] } },
      /^length of predictions: got 32, must be 48, the product of its shape \[2,2,3,4\]/,
    ],
    ["one class", { predictions: flat([1, 2, 2, 1]) }, /^classes of predictions: got 1, must be from 2/],
    ["NaN", changed(21, Number.NaN), /^predictions\[1,0,1,1\]: got NaN, must be a probability/],
    ["a negative number", changed(31, -0.25), /^predictions\[1,1,1,3\]: got -0.25/],
    ["a row that sums to more", changed(9, 0.5), /^sum of predictions\[0,1,0\]: got 1.25, must be 1 within/],
    ["NaN among logits", { ...changed(21, Number.NaN), logits: true }, /^predictions\[1,0,1,1\]: got NaN/],
    [
      "logits that rule out all",
      { predictions: flat([1, 1, 1, 3], -Infinity), logits: true },
      /^predictions\[0,0,0\]: got -Infinity alone/,
    ],
    ["steps of another number", { predictions: flat([2, 2, 2, 4]), steps: [0] }, /^length of steps: got 1/],
    [
      "steps that fall",
      { predictions: flat([2, 2, 2, 4]), steps: [5, 5] },
      /^step: got 5, must be finite and above/,
    ],
    [
      "seen tasks of other steps",
      { predictions: flat([2, 2, 2, 4]), seen: { predictions: flat([1, 2, 2, 4]), labels: [0, 0] } },
      /^steps of seen: got 1, must be 2/,
    ],
    [
      "seen tasks of other classes",
      { predictions: flat([2, 2, 2, 4]), seen: { predictions: flat([2, 2, 2, 3]), labels: [0, 0] } },
      /^classes of seen: got 3, must be 4/,
    ],
    [
      "prompts asked back of other members",
      { predictions: flat([2, 2, 2, 4]), cycle: { predictions: flat([2, 1, 2, 4]), labels: [0, 0] } },
      /^members of cycle: got 1, must be 2, as those of predictions: each is asked back/,
    ],
    [
      "other prompts asked back",
      { predictions: flat([2, 2, 2, 4]), cycle: { predictions: flat([2, 2, 1, 4]), labels: [0] } },
      /^prompts of cycle: got 1, must be 2/,
    ],
    [
      "prompts asked back at other steps",
      { predictions: flat([2, 2, 2, 4]), cycle: { predictions: flat([1, 2, 2, 4]), labels: [0, 0] } },
      /^steps of cycle: got 1, must be 2/,
    ],
    [
      "NaN among prompts asked back",
      { ...changed(0, 0.25), cycle: { ...changed(5, Number.NaN), labels: [0, 0] } },
      /^cycle\[0,0,1,1\]: got NaN/,
    ],
    [
      "a label of prompts asked back that is no class",
      { predictions: flat([2, 2, 2, 4]), cycle: { predictions: flat([2, 2, 2, 4]), labels: [0, 4] } },
      /^cycleLabels\[1\]: got 4, must be an integer from 0 to 3/,
    ],
    [
      "more that come back than all",
      { predictions: flat([1, 2, 2, 4]), cycleCeiling: 1.5 },
      /^cycleCeiling: got 1.5, must be from 0 to 1/,
    ],
    [
      "too few labels",
      { predictions: flat([2, 2, 2, 4]), seen: { predictions: flat([2, 2, 2, 4]), labels: [0] } },
      /^length of seenLabels: got 1, must be 2/,
    ],
    [
      "a label that is no class",
      { predictions: flat([2, 2, 2, 4]), labels: [0, 4] },
      /^labels\[1\]: got 4, must be an integer from 0 to 3/,
    ],
    [
      "chance above the ceiling",
      { predictions: flat([1, 2, 2, 4]), chance: 0.5, ceiling: 0.4 },
      /^chance: got 0.5/,
    ],
    [
      "a ceiling below the chance that follows from the classes",
      { predictions: flat([1, 2, 2, 4]), ceiling: 0.1 },
      /^ceiling: got 0.1, must be above the chance of a guess, 0.25/,
    ],
    [
      "a ceiling above 1",
      { predictions: flat([1, 2, 2, 4]), ceiling: 2 },
      /^ceiling: got 2, must be from 0 to 1/,
    ],
  ])("%s", (_, options, message) => {
    expect(() => diagnose(options)).toThrow(message);
  });

  it("of an evaluation leave those before it as they were", () => {
    const diagnosis = new Diagnosis();
    diagnosis.push({ step: 0, predictions: flat([2, 2, 4]) });
    const before = diagnosis.result;
    for (const bad of [flat([2, 3, 4]), flat([2, 2, 5]), flat([2, 2, 4], 1)])
      expect(() => diagnosis.push({ step: 1, predictions: bad })).toThrow(RangeError);
    expect(() => diagnosis.push({ step: 0, predictions: flat([2, 2, 4]) })).toThrow(/^step: got 0/);
    expect(diagnosis.result).toEqual(before);
    expect(() => new Diagnosis().result).toThrow(/evaluations: got 0/);
  });
});

describe("labels", () => {
  it.each([null, "", "1", true, Number.NaN])("are classes, and %j is none", (label) => {
    const labels = [label] as number[];
    const predictions = { shape: [1, 1, 2], data: Float64Array.of(1, 0) };
    const diagnosis = new Diagnosis();
    expect(() => diagnosis.push({ step: 0, predictions, labels })).toThrow(/^labels\[0\]: got .*, must be/);
    expect(() => diagnosis.push({ step: 0, predictions, seen: { predictions, labels } })).toThrow(
      /^seenLabels\[0\]: got .*, must be/,
    );
  });
});

describe("a line of a stream", () => {
  it("is an evaluation", () => {
    const line = '{"step": 7, "predictions": [[[0.5, 0.5], [1, 0]]], "seen": [[[0, 1]]], "seenLabels": [1]}';
    expect(parseEvaluation(line)).toEqual({
      step: 7,
      predictions: { shape: [1, 2, 2], data: Float64Array.of(0.5, 0.5, 1, 0) },
      seen: { predictions: { shape: [1, 1, 2], data: Float64Array.of(0, 1) }, labels: [1] },
    });
  });

  it.each([
    ["{", /^not JSON/],
    ["[1]", /^a line: got \[1\], must be a JSON object/],
    ['{"predictions": [[[1, 0]]]}', /^step: got undefined/],
    ['{"step": 1, "predictions": [[[1, 0], [1]]]}', /^predictions\[0\]\[1\]: got 1, must be a list of 2/],
    ['{"step": 1, "predictions": [[[1, "0"]]]}', /^predictions\[0\]\[0\]\[1\]: got "0", must be a number/],
    ['{"step": "0", "predictions": [[[1, 0]]]}', /^step: got "0", must be a number/],
    ['{"step": 1, "predictions": [[[1, 0]]], "chance": 0.9}', /^key of a line: got chance, must be one of/],
    ['{"step": 1, "predictions": [[[1, 0]]], "seen": [[[1, 0]]]}', /with seen and seenLabels/],
    [
      '{"step": 1, "predictions": [[[1, 0]]], "unseenLabels": [null]}',
      /^unseenLabels\[0\]: got null, must be/,
    ],
    ['{"step": 1, "predictions": [[[1, 0]]], "unseenLabels": [""]}', /^unseenLabels\[0\]: got "", must be/],
    [
      `{"step": 1, "predictions": ${"[".repeat(2e5)}${"]".repeat(2e5)}}`,
      /^predictions: got more lists in lists, must be members x prompts x classes$/,
    ],
    [
      `{"step": 1, "predictions": [[[${Array(3000).fill(0)}]${",0".repeat(3e3)}]${",0".repeat(3e3)}]}`,
      /^predictions\[0\]\[1\]: got 0, must be a list of 3000/,
    ],
  ])("is refused: %s", (line, message) => {
    expect(() => parseEvaluation(line)).toThrow(message);
  });

  it("may begin as a file of another system does", () => {
    expect(parseEvaluation('\ufeff{"step": 7, "predictions": [[[0.5, 0.5]]]}\r').step).toBe(7);
  });

  it("that is any JSON is refused, or taken", () => {
    fc.assert(
      fc.property(fc.json(), fc.json(), (step, predictions) => {
        try {
          new Diagnosis().push(parseEvaluation(`{"step":${step},"predictions":${predictions}}`));
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});
