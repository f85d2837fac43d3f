import { describe, expect, it } from "vitest";
import { ReferenceAdamW, referenceLearningRate } from "./reference/adamw.ts";
import { Random } from "./reference/random.ts";

const options = { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, gradientClip: 0 };

describe("ReferenceAdamW", () => {
  it("follows the closed form for a constant gradient, with decay only where a group has it", () => {
    const optimizer = new ReferenceAdamW(
      [
        { offset: 0, length: 2, weightDecay: 0.5 },
        { offset: 2, length: 1, weightDecay: 0 },
      ],
      { ...options, epsilon: 1e-3 },
    );
    const start = [1, -2, 3];
    const gradient = Float64Array.of(0.25, -4, 1e-3);
    const params = Float64Array.from(start);
    const learningRate = 0.01;
    const steps = 40;
    for (let s = 0; s < steps; s++) optimizer.step(params, gradient, learningRate);
    // Both bias-corrected moments are exactly g and g^2, so every step is p <- r p - c with r = 1 - lr wd.
    start.forEach((p, i) => {
      const c = (learningRate * gradient[i]) / (Math.abs(gradient[i]) + 1e-3);
      const r = i < 2 ? 1 - learningRate * 0.5 : 1;
      const geometric = r === 1 ? steps : (1 - r ** steps) / (1 - r);
      expect(params[i]).toBeCloseTo(p * r ** steps - c * geometric, 12);
    });
  });

  it("keeps the exponentially weighted sums of varying gradients and steps by their corrected ratio", () => {
    const n = 7;
    const random = new Random(5);
    const gradients = Array.from({ length: 12 }, () => random.normals(n));
    const params = random.normals(n);
    const optimizer = new ReferenceAdamW([{ offset: 0, length: n, weightDecay: 0.1 }], options);
    gradients.forEach((gradient, k) => {
      const before = params.slice();
      const learningRate = 1e-3 * (k + 1);
      optimizer.step(params, gradient, learningRate);
      const average = (beta: number, power: number, i: number) => {
        const weights = gradients.slice(0, k + 1).map((_, j) => beta ** (k - j));
        const total = weights.reduce((s, w) => s + w, 0);
        return weights.reduce((s, w, j) => s + (w / total) * gradients[j][i] ** power, 0);
      };
      for (let i = 0; i < n; i++) {
        const update = average(0.9, 1, i) / (Math.sqrt(average(0.98, 2, i)) + 1e-8);
        expect(params[i]).toBeCloseTo(before[i] * (1 - 0.1 * learningRate) - learningRate * update, 13);
        expect(optimizer.firstMoment[i]).toBeCloseTo(average(0.9, 1, i) * (1 - 0.9 ** (k + 1)), 13);
        expect(optimizer.secondMoment[i]).toBeCloseTo(average(0.98, 2, i) * (1 - 0.98 ** (k + 1)), 13);
      }
    });
    expect(optimizer.steps).toBe(12);
  });

  it("clips the global norm over all groups, and leaves shorter gradients alone", () => {
    const groups = [
      { offset: 0, length: 1, weightDecay: 0 },
      { offset: 1, length: 1, weightDecay: 0 },
    ];
    const clipping = new ReferenceAdamW(groups, { ...options, gradientClip: 1 });
    expect(clipping.step(new Float64Array(2), Float64Array.of(3, 4), 0.1)).toBe(5);
    expect(clipping.firstMoment[0]).toBeCloseTo((0.1 * 3) / (5 + 1e-6), 15);
    expect(clipping.firstMoment[1]).toBeCloseTo((0.1 * 4) / (5 + 1e-6), 15);

    const loose = new ReferenceAdamW(groups, { ...options, gradientClip: 6 });
    loose.step(new Float64Array(2), Float64Array.of(3, 4), 0.1);
    expect(loose.firstMoment[1]).toBeCloseTo(0.4, 15);
  });

  it("rejects groups with gaps", () => {
    expect(() => new ReferenceAdamW([{ offset: 1, length: 1, weightDecay: 0 }], options)).toThrow(
      /offset is 1/,
    );
  });
});

describe("referenceLearningRate", () => {
  const base = { steps: 110, learningRate: 2, warmupSteps: 10, finalLearningRate: 0.1 };
  it.each([
    ["constant", 2, 2],
    ["cosine", 2 * (0.1 + 0.9 * 0.5), 0.2],
    ["linear", 2 * (0.1 + 0.9 * 0.5), 0.2],
  ] as const)("%s: warm-up, halfway, last step", (schedule, halfway, last) => {
    const at = (s: number) => referenceLearningRate(s, { ...base, schedule });
    expect(at(1)).toBeCloseTo(0.2, 14);
    expect(at(5)).toBeCloseTo(1, 14);
    expect(at(10)).toBe(2);
    expect(at(60)).toBeCloseTo(halfway, 14);
    expect(at(110)).toBeCloseTo(last, 14);
  });

  it("cosine and linear differ a quarter of the way", () => {
    const at = (schedule: "cosine" | "linear") => referenceLearningRate(35, { ...base, schedule });
    expect(at("cosine")).toBeCloseTo(2 * (0.1 + 0.45 * (1 + Math.SQRT1_2)), 14);
    expect(at("linear")).toBeCloseTo(2 * (0.1 + 0.9 * 0.75), 14);
  });

  it("without warm-up starts on the schedule", () => {
    expect(referenceLearningRate(1, { ...base, warmupSteps: 0, schedule: "constant" })).toBe(2);
  });
});
