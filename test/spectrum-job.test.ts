/** The curvature of one checkpoint as `epigrok spectrum` records it, against the whole matrices of a small model. */

import { beforeAll, describe, expect, it } from "vitest";
import { OPERATORS, type SpectrumOutcome, spectrumJob } from "../src/analysis/spectrum-job.ts";
import { loadCoreModule } from "../src/core/build.ts";
import { instantiateTransformer } from "../src/core/transformer.ts";
import { learningCoefficient } from "../src/curvature/llc.ts";
import { denseMatrix, ggnOperator, hessianOperator } from "../src/curvature/operators.ts";
import { symmetricEigen } from "../src/curvature/vector.ts";
import { transformerShape } from "../src/training/model.ts";
import { recentBatches } from "../src/training/recent-batches.ts";
import { trainSegment } from "../src/training/segment.ts";
import { freshConfig } from "./fixtures/config.ts";

const config = freshConfig({
  seed: 3,
  task: { modulus: 5, trainTasks: 3, examples: 2 },
  model: { dModel: 6, nHeads: 1, nLayers: 1, dMlp: 6 },
  training: { steps: 40, batchSize: 16, learningRate: 1e-2, warmupSteps: 2 },
  evaluation: { prompts: 4 },
  math: "strict",
});
const member = 1;
const core = await loadCoreModule("strict");
const { parameters } = trainSegment(
  { config, member, state: null, toStep: 40 },
  { core, stop: () => false },
).state;
const data = recentBatches(config, member, 40, 2);
const job = { step: 40, member, k: 4, batches: 2, parameters };

describe.each(OPERATORS)("the %s", (operator) => {
  let exact: Float64Array;
  let outcome: SpectrumOutcome;

  beforeAll(() => {
    const model = instantiateTransformer(core, transformerShape(config), { curvature: true });
    model.setParameters(parameters);
    const make = operator === "ggn" ? ggnOperator : hessianOperator;
    const matrix = denseMatrix(make(model, data));
    exact = symmetricEigen(matrix, model.parameterCount).eigenvalues.reverse();
    outcome = spectrumJob({ ...job, operator, estimateLlc: operator === "ggn" }, { config, core });
  });

  it("has the largest eigenvalues, and the smallest of the Hessian", () => {
    const { largest, smallest, converged, terms, parameters: count } = outcome;
    expect(converged).toBe(true);
    expect(terms).toBe(2 * 16 * 2);
    expect(count).toBe(exact.length);
    expect(largest).toHaveLength(4);
    largest.forEach((x, i) => {
      expect(Math.abs(x - exact[i])).toBeLessThan(2e-3 * exact[0]);
    });
    if (operator === "ggn") expect(smallest).toBeNull();
    else {
      expect(smallest! / exact.at(-1)!).toBeCloseTo(1, 2);
      expect(smallest).toBeLessThan(-1e-2 * exact[0]);
    }
  });

  it("has the trace within its error, and a density of the first moments", () => {
    const sum = (f: (x: number) => number) => exact.reduce((total, x) => total + f(x), 0);
    const { trace, density } = outcome;
    expect(Math.abs(trace.estimate - sum((x) => x))).toBeLessThan(4 * trace.standardError);
    expect(trace.standardError).toBeLessThan(0.2 * sum(Math.abs));
    expect(density).toHaveLength(2);
    for (const { nodes, weights } of density) {
      expect(weights.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
      const mean = exact.length * nodes.reduce((total, x, i) => total + weights[i] * x, 0);
      // u uniform on the sphere: n u'Au has the variance 2 (n tr A^2 - (tr A)^2) / (n + 2).
      const spread = Math.sqrt(
        (2 * (exact.length * sum((x) => x * x) - sum((x) => x) ** 2)) / (exact.length + 2),
      );
      expect(Math.abs(mean - sum((x) => x))).toBeLessThan(4 * spread);
      expect(Math.max(...nodes) / exact[0]).toBeCloseTo(1, 2);
    }
  });

  it("has the learning coefficient where it was asked for, with n, n beta, gamma and step stated", () => {
    if (operator === "hessian") return expect(outcome.llc).toBeNull();
    const { stepSize, ...record } = outcome.llc!;
    const nBeta = 64 / Math.log(64);
    const halvings = Math.log2(1 / (nBeta * outcome.largest[0] + 100) / stepSize);
    expect(halvings).toBeCloseTo(Math.round(halvings), 12);
    expect(halvings).toBeGreaterThan(-0.5);
    const model = instantiateTransformer(core, transformerShape(config), { curvature: true });
    const stated = { trainingTerms: 64, localisation: 100, chains: 2, burnIn: 100, draws: 200 };
    const { llc, standardError, diagnostics, failures } = learningCoefficient(model, parameters, data, {
      ...{ ...stated, stepSize, seed: 3, member },
    });
    const { trainingTerms, localisation } = stated;
    expect(record).toEqual({
      ...{ llc: failures.length === 0 ? llc : null, chainMean: llc, failures },
      ...{ standardError, diagnostics, trainingTerms, localisation, nBeta },
    });
  });

  it("gives the same numbers again, others for another member", () => {
    const again = (m: number) => {
      const { seconds: _, ...numbers } = spectrumJob(
        { ...job, member: m, operator, estimateLlc: false },
        { config, core },
      );
      return numbers;
    };
    const { seconds: _, ...first } = outcome;
    expect(again(member)).toEqual({ ...first, llc: null });
    expect(again(0).largest).not.toEqual(first.largest);
  });
});

it.each(OPERATORS)("the %s by block, besides what it is without", (operator) => {
  const run = (by?: "block") => {
    const { seconds: _, ...rest } = spectrumJob(
      { ...job, operator, estimateLlc: false, by },
      { config, core },
    );
    return rest;
  };
  const { groups, ...rest } = run("block");
  expect(rest).toEqual(run());
  expect(groups!.map(({ name }) => name)).toEqual(["embeddings", "transformer.h.0", "unembedding"]);
  expect(groups!.reduce((sum, { parameters: count }) => sum + count, 0)).toBe(rest.parameters);
  for (const { largest, smallest } of groups!) {
    expect(largest).toHaveLength(3);
    expect(largest[0]).toBeLessThan(rest.largest[0] * 1.01);
    expect(smallest === null).toBe(operator === "ggn");
  }
  const traces = groups!.map(({ trace }) => trace);
  const error = Math.hypot(rest.trace.standardError, ...traces.map(({ standardError }) => standardError));
  const sum = traces.reduce((total, { estimate }) => total + estimate, 0);
  expect(Math.abs(sum - rest.trace.estimate)).toBeLessThan(4 * error);
});

it("takes the learning coefficient at n of the whole pool that the batches are a sample of", () => {
  const pooled = freshConfig({ ...config, task: { ...config.task, promptPool: 50 } });
  const { terms, llc } = spectrumJob(
    { ...job, operator: "ggn", estimateLlc: true },
    { config: pooled, core },
  );
  expect({ terms, n: llc!.trainingTerms }).toEqual({ terms: 64, n: 100 });
  expect(llc!.nBeta).toBe(100 / Math.log(100));
});

it("names what is wrong", () => {
  const run = (change: object) => () =>
    spectrumJob({ ...job, operator: "ggn", estimateLlc: false, ...change }, { config, core });
  expect(run({ k: 0 })).toThrow(/k: got 0, must be/);
  expect(run({ k: 1e6 })).toThrow(/k: got 1000000, must be an integer from 1 to \d+/);
  expect(run({ batches: 0 })).toThrow(/count: got 0/);
  expect(run({ parameters: parameters.slice(1) })).toThrow(RangeError);
  expect(run({ parameters: parameters.slice(1) })).toThrow(
    /length of parameters: got 311, must be 312, the parameters of this model/,
  );
});
