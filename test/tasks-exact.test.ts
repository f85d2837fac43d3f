import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ExactQuery, exactPosterior, exactPredictive } from "../src/tasks/exact.ts";
import { FAMILY_NAMES } from "../src/tasks/families/index.ts";
import {
  featuresAt,
  outputOf,
  REFERENCE_FAMILIES,
  type ReferenceShape,
  taskLengthOf,
} from "./reference/families.ts";

/** All vectors of Z_p^length. */
function vectors(p: number, length: number): number[][] {
  return length === 0
    ? [[]]
    : vectors(p, length - 1).flatMap((head) => Array.from({ length: p }, (_, a) => [...head, a]));
}

/** Bayes' rule written out with plain products; null weights when no task fits. */
function bruteForce(q: ExactQuery & ReferenceShape): {
  weights: number[];
  predictive: number[];
  support: boolean;
} {
  const { modulus: p, contextNoise: e, inputs, outputs, query } = q;
  const tasks =
    q.prior === "generalising"
      ? vectors(p, taskLengthOf(q)).filter((t) => q.zeroTask !== false || t.some(Boolean))
      : q.prior.map((t) => [...t]);
  const likelihoods = tasks.map((t) =>
    inputs.reduce((product, u, k) => product * (outputOf(q, t, u) === outputs[k] ? 1 - e : e / (p - 1)), 1),
  );
  const evidence = likelihoods.reduce((a, b) => a + b, 0);
  const weights = likelihoods.map((l) => (evidence > 0 ? l / evidence : 1 / tasks.length));
  const clean = new Array<number>(p).fill(0);
  tasks.forEach((t, i) => {
    clean[outputOf(q, t, query)] += weights[i];
  });
  const f = q.targetNoise ?? 0;
  const predictive = clean.map((_, c) =>
    clean.reduce((sum, mass, from) => sum + mass * (from === c ? 1 - f : f / (p - 1)), 0),
  );
  return { weights, predictive, support: evidence > 0 };
}

/** Whether `target` is a linear combination over Z_p of the rows (p prime): Gaussian elimination. */
function inSpan(p: number, rows: number[][], target: number[]): boolean {
  const inverse = (a: number) =>
    Array.from({ length: p }, (_, b) => b).find((b) => (a * b) % p === 1) as number;
  const basis: { pivot: number; row: number[] }[] = [];
  const reduce = (row: number[]) =>
    basis.reduce((r, { pivot, row: b }) => r.map((x, i) => (x + (p - r[pivot]) * b[i]) % p), row);
  for (const row of rows) {
    const rest = reduce(row);
    const pivot = rest.findIndex((x) => x !== 0);
    if (pivot >= 0) basis.push({ pivot, row: rest.map((x) => (x * inverse(rest[pivot])) % p) });
  }
  return reduce(target).every((x) => x === 0);
}

const shape = fc
  .record({
    family: fc.constantFrom(...FAMILY_NAMES),
    modulus: fc.constantFrom(2, 3, 5, 7),
    variables: fc.integer({ min: 1, max: 3 }),
    constantTerm: fc.boolean(),
    examples: fc.integer({ min: 0, max: 6 }),
  })
  .filter(({ family, variables }) => variables >= REFERENCE_FAMILIES[family].fewestVariables)
  .filter((s) => s.modulus ** taskLengthOf(s) <= 625);

/** A context of a true task; outputs are replaced where `flips` says so. */
const scenario = shape.chain(({ examples, ...shape }) => {
  const { family, modulus: p, variables, constantTerm } = shape;
  const residue = fc.nat({ max: p - 1 });
  const vector = (length: number) => fc.array(residue, { minLength: length, maxLength: length });
  const taskLength = taskLengthOf(shape);
  return fc.record({
    family: fc.constant(family),
    modulus: fc.constant(p),
    variables: fc.constant(variables),
    constantTerm: fc.constant(constantTerm),
    inputs: fc.array(vector(variables), { minLength: examples, maxLength: examples }),
    query: vector(variables),
    task: vector(taskLength),
    flips: fc.array(residue, { minLength: examples, maxLength: examples }),
    list: fc.array(vector(taskLength), { minLength: 1, maxLength: 12 }),
  });
});

const noise = fc.constantFrom(0, 1e-9, 0.05, 0.3, 0.8, 1);

describe("exactPredictive and exactPosterior", () => {
  it("agree with Bayes' rule by brute force, for both predictors, all noises and inconsistent contexts", () => {
    let unsupported = 0;
    fc.assert(
      fc.property(
        scenario,
        noise,
        noise,
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        (s, contextNoise, targetNoise, listed, flip, zeroTask) => {
          const { task, flips, list, ...rest } = s;
          const outputs = s.inputs.map((u, k) => (outputOf(s, task, u) + (flip ? flips[k] : 0)) % s.modulus);
          const query = {
            ...rest,
            outputs,
            contextNoise,
            targetNoise,
            zeroTask: listed || zeroTask,
            prior: listed ? list : ("generalising" as const),
          };
          const expected = bruteForce(query);
          const predictive = exactPredictive(query);
          const posterior = exactPosterior(query);
          expect(posterior.support).toBe(expected.support);
          if (!expected.support) unsupported++;
          expect(predictive.length).toBe(s.modulus);
          predictive.forEach((mass, c) => {
            expect(Math.abs(mass - expected.predictive[c])).toBeLessThan(1e-12);
          });
          posterior.weights.forEach((w, i) => {
            expect(Math.abs(w - expected.weights[i])).toBeLessThan(1e-12);
          });
          expect(Math.abs(predictive.reduce((a, b) => a + b, 0) - 1)).toBeLessThan(1e-12);
        },
      ),
      { numRuns: 400 },
    );
    expect(unsupported).toBeGreaterThan(10);
  });

  it("without noise, G is a point mass on the span of the context and exactly uniform off it", () => {
    let [inside, outside] = [0, 0];
    fc.assert(
      fc.property(scenario, (s) => {
        const { modulus: p, task, inputs, query } = s;
        const outputs = inputs.map((u) => outputOf(s, task, u));
        const predictive = exactPredictive({ ...s, outputs, contextNoise: 0, prior: "generalising" });
        const lift = (u: number[]) => featuresAt(s, u);
        if (inSpan(p, inputs.map(lift), lift(query))) {
          inside++;
          const point = new Array<number>(p).fill(0);
          point[outputOf(s, task, query)] = 1;
          expect([...predictive]).toEqual(point);
        } else {
          outside++;
          expect([...predictive]).toEqual(new Array<number>(p).fill(1 / p));
        }
      }),
      { numRuns: 500 },
    );
    expect(Math.min(inside, outside)).toBeGreaterThan(50);
  });

  it("M with all tasks is G, whatever their order", () => {
    fc.assert(
      fc.property(scenario, noise, (s, contextNoise) => {
        const { modulus: p, task, inputs, flips } = s;
        const outputs = inputs.map((u, k) => (outputOf(s, task, u) + flips[k]) % p);
        const all = vectors(p, task.length).reverse();
        const m = exactPredictive({ ...s, outputs, contextNoise, prior: all });
        const g = exactPredictive({ ...s, outputs, contextNoise, prior: "generalising" });
        m.forEach((mass, c) => {
          expect(Math.abs(mass - g[c])).toBeLessThan(1e-12);
        });
      }),
      { numRuns: 100 },
    );
  });

  it("does not depend on the order of the examples", () => {
    fc.assert(
      fc.property(scenario, noise, (s, contextNoise) => {
        const { modulus: p, task, inputs, flips } = s;
        const outputs = inputs.map((u, k) => (outputOf(s, task, u) + flips[k]) % p);
        const forward = exactPredictive({ ...s, outputs, contextNoise, prior: s.list });
        const backward = exactPredictive({
          ...s,
          inputs: inputs.toReversed(),
          outputs: outputs.toReversed(),
          contextNoise,
          prior: s.list,
        });
        expect(backward).toEqual(forward);
      }),
      { numRuns: 100 },
    );
  });

  it("noise (p-1)/p makes the context worthless: the prior predictive", () => {
    fc.assert(
      fc.property(scenario, (s) => {
        const { modulus: p, task, inputs } = s;
        const outputs = inputs.map((u) => outputOf(s, task, u));
        const predictive = exactPredictive({ ...s, outputs, contextNoise: (p - 1) / p, prior: s.list });
        const prior = exactPredictive({ ...s, inputs: [], outputs: [], contextNoise: 0, prior: s.list });
        predictive.forEach((mass, c) => {
          expect(Math.abs(mass - prior[c])).toBeLessThan(1e-12);
        });
      }),
      { numRuns: 100 },
    );
  });

  it("goes over continuously to the noiseless case", () => {
    const s = {
      modulus: 5,
      variables: 2,
      inputs: [
        [1, 0],
        [0, 1],
      ],
      outputs: [2, 3],
      query: [1, 1],
    };
    const exact = exactPredictive({ ...s, contextNoise: 0, prior: "generalising" });
    const near = exactPredictive({ ...s, contextNoise: 1e-300, prior: "generalising" });
    expect([...exact]).toEqual([1, 0, 0, 0, 0]);
    near.forEach((mass, c) => {
      expect(Math.abs(mass - exact[c])).toBeLessThan(1e-15);
    });
  });

  it("without a consistent task falls back to the prior predictive and says so", () => {
    const context = {
      modulus: 5,
      variables: 1,
      contextNoise: 0,
      prior: [[1], [2], [2]],
      inputs: [[1]],
      outputs: [4],
    };
    expect(exactPosterior(context).support).toBe(false);
    expect([...exactPosterior(context).weights]).toEqual([1 / 3, 1 / 3, 1 / 3]);
    expect([...exactPredictive({ ...context, query: [1] })]).toEqual([0, 1 / 3, 2 / 3, 0, 0]);
  });

  it("stays finite for contexts whose likelihood underflows", () => {
    const inputs = Array.from({ length: 500 }, (_, i) => [1 + (i % 4)]);
    const outputs = inputs.map(([x], i) => (i % 5 === 0 ? (x + 1) % 5 : (2 * x) % 5));
    const predictive = exactPredictive({
      modulus: 5,
      variables: 1,
      contextNoise: 1e-3,
      prior: "generalising",
      inputs,
      outputs,
      query: [3],
    });
    expect(predictive[1]).toBe(1);
    expect(predictive.every((mass) => mass >= 0)).toBe(true);
  });

  it.each<[string, Partial<ExactQuery>, RegExp]>([
    [
      "unknown family",
      { family: "cubic" as "linear" },
      /task\.family: got cubic, must be one of linear, bilinear/,
    ],
    [
      "one variable",
      { family: "bilinear" },
      /task\.variables: got 1, must be at least 2 with task\.family bilinear/,
    ],
    ["composite modulus", { modulus: 6 }, /modulus.*6/],
    ["noise", { contextNoise: 1.5 }, /contextNoise.*1\.5/],
    ["NaN noise", { contextNoise: Number.NaN }, /contextNoise.*NaN/],
    ["target noise", { targetNoise: -0.1 }, /targetNoise.*-0\.1/],
    ["lengths", { outputs: [1, 2] }, /length of outputs: got 2, must be 1, one for each input/],
    ["input length", { inputs: [[1, 2]] }, /length of inputs\[0\]: got 2, must be 1/],
    ["input residue", { inputs: [[5]] }, /inputs\[0\]\[0\]: got 5, must be an integer from 0 to 4/],
    ["output residue", { outputs: [-1] }, /outputs\[0\].*-1/],
    ["query", { query: [] }, /length of query: got 0, must be 1/],
    ["empty prior", { prior: [] }, /length of prior: got 0, must be at least 1/],
    ["task length", { prior: [[1, 1]] }, /length of task: got 2, must be 1/],
    ["task residue", { prior: [[7]] }, /task\[0\].*7/],
  ])("refuses: %s", (_, wrong, message) => {
    const valid: ExactQuery = {
      modulus: 5,
      variables: 1,
      contextNoise: 0,
      prior: "generalising",
      inputs: [[1]],
      outputs: [2],
      query: [3],
    };
    expect([...exactPredictive(valid)]).toEqual([0, 1, 0, 0, 0]);
    expect(() => exactPredictive({ ...valid, ...wrong })).toThrow(message);
    expect(() => exactPredictive({ ...valid, ...wrong })).toThrow(RangeError);
  });
});
