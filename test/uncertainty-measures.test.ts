import { describe, expect, it } from "vitest";
import { stream, uniform, uniformInt } from "../src/random.ts";
import { createProbeSets } from "../src/tasks/probes.ts";
import {
  accuracy,
  adaptiveCalibrationError,
  brierScore,
  expectedCalibrationError,
  negativeLogLikelihood,
} from "../src/uncertainty/calibration.ts";
import { decompose } from "../src/uncertainty/decompose.ts";
import { jensenShannon, totalVariation } from "../src/uncertainty/distances.ts";
import { ensembleMeasures, type Probe, predictiveMeasures } from "../src/uncertainty/measures.ts";
import { freshConfig } from "./fixtures/config.ts";

const rng = stream(7, 0, "evaluation", 0);

function randomRows(rows: number, classes: number): Float64Array {
  const p = Float64Array.from({ length: rows * classes }, () => uniform(rng) ** 4 + 1e-3);
  for (let row = 0; row < p.length; row += classes) {
    const sum = p.subarray(row, row + classes).reduce((a, b) => a + b, 0);
    for (let c = 0; c < classes; c++) p[row + c] /= sum;
  }
  return p;
}

function randomProbe(prompts: number, positions: number, classes: number): Probe {
  const rows = prompts * positions;
  return {
    batch: { targets: Int32Array.from({ length: rows }, () => uniformInt(rng, classes)), batchSize: prompts },
    references: { M: randomRows(rows, classes), G: randomRows(rows, classes) },
  };
}

const [B, P, C, K] = [12, 3, 5, 4];
const probe = randomProbe(B, P, C);
const members = Array.from({ length: K }, () => Float32Array.from(randomRows(B * P, C)));

/** (B, P, C) -> (B, C) at one position. */
const at = (p: ArrayLike<number>, position: number) =>
  Float64Array.from({ length: B * C }, (_, i) => p[(Math.floor(i / C) * P + position) * C + (i % C)]);
const targetsAt = (position: number) =>
  Array.from({ length: B }, (_, i) => probe.batch.targets[i * P + position]);
const average = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0) / values.length;

describe("predictiveMeasures", () => {
  const got = predictiveMeasures(members[0], probe);

  it("scores every position, and the last one in detail", () => {
    for (let k = 0; k < P; k++) {
      expect(got.accuracyByPosition[k]).toBeCloseTo(accuracy(at(members[0], k), targetsAt(k)), 14);
    }
    expect(got.accuracyByPosition).toHaveLength(P);
    expect(got.accuracy).toBe(got.accuracyByPosition[P - 1]);
    expect(got.nll).toBeCloseTo(negativeLogLikelihood(at(members[0], P - 1), targetsAt(P - 1)), 12);
    const alone = decompose(at(members[0], P - 1), { members: 1, prompts: B, classes: C });
    expect(got.entropy).toBeCloseTo(average(alone.totalEntropy), 6);
  });
});

describe("ensembleMeasures", () => {
  const got = ensembleMeasures(members, probe);
  const byPosition = Array.from({ length: P }, (_, k) =>
    decompose(Float64Array.from(members.flatMap((p) => Array.from(at(p, k)))), {
      members: K,
      prompts: B,
      classes: C,
    }),
  );
  const last = byPosition[P - 1];
  const targets = targetsAt(P - 1);

  it("decomposes each position", () => {
    byPosition.forEach((d, k) => {
      expect(got.totalEntropyByPosition[k]).toBeCloseTo(average(d.totalEntropy), 12);
      expect(got.expectedEntropyByPosition[k]).toBeCloseTo(average(d.expectedEntropy), 12);
      expect(got.mutualInformationByPosition[k]).toBeCloseTo(average(d.mutualInformation), 12);
    });
    expect(got.mutualInformation).toBeCloseTo(got.mutualInformationByPosition[P - 1], 14);
    expect(got.totalEntropy).toBeCloseTo(got.expectedEntropy + got.mutualInformation, 12);
    expect(got.entropy).toBe(got.totalEntropy);
    expect(got.disagreement).toBeCloseTo(average(last.disagreement), 14);
    expect(got.variance).toBeCloseTo(average(last.variance), 14);
  });

  it("scores the mean predictive, not the members", () => {
    expect(got.accuracy).toBe(accuracy(last.mean, targets));
    expect(got.nll).toBeCloseTo(negativeLogLikelihood(last.mean, targets), 12);
    expect(got.brier).toBeCloseTo(brierScore(last.mean, targets), 12);
    expect(got.ece).toBeCloseTo(expectedCalibrationError(last.mean, targets), 12);
    expect(got.adaptiveEce).toBeCloseTo(adaptiveCalibrationError(last.mean, targets), 12);
    byPosition.forEach((d, k) => {
      expect(got.accuracyByPosition[k]).toBe(accuracy(d.mean, targetsAt(k)));
    });
    const brierOfMembers = average(members.map((p) => brierScore(at(p, P - 1), targets)));
    expect(got.brier).toBeLessThan(brierOfMembers);
  });

  it("measures distances to the references at the last position", () => {
    const M = at(probe.references.M, P - 1);
    const G = at(probe.references.G, P - 1);
    const rows = Array.from({ length: B }, (_, i) => i);
    const row = (p: Float64Array, i: number) => p.subarray(i * C, (i + 1) * C);
    const between = (p: Float64Array, q: Float64Array, distance: typeof jensenShannon) =>
      average(rows.map((i) => distance(row(p, i), row(q, i))));
    expect(got.distanceM.jensenShannon).toBeCloseTo(between(last.mean, M, jensenShannon), 12);
    expect(got.distanceG.jensenShannon).toBeCloseTo(between(last.mean, G, jensenShannon), 12);
    expect(got.distanceM.totalVariation).toBeCloseTo(between(last.mean, M, totalVariation), 12);
    expect(got.distanceG.totalVariation).toBeCloseTo(between(last.mean, G, totalVariation), 12);
    const r =
      (between(last.mean, G, jensenShannon) - between(last.mean, M, jensenShannon)) /
      between(G, M, jensenShannon);
    expect(got.relativeDistance).toBeCloseTo((r + 1) / 2, 12);
  });

  it("places the references themselves at 0 and 1, and says null where they coincide", () => {
    const { M, G } = probe.references;
    expect(ensembleMeasures([G, G], probe).relativeDistance).toBeCloseTo(0, 12);
    expect(ensembleMeasures([M, M], probe).relativeDistance).toBeCloseTo(1, 12);
    const same = { ...probe, references: { M: G, G } };
    expect(ensembleMeasures(members, same).relativeDistance).toBeNull();
  });

  it("of one member agrees with predictiveMeasures", () => {
    const single = ensembleMeasures([members[0]], probe);
    const member = predictiveMeasures(members[0], probe);
    expect(single.accuracyByPosition).toEqual(member.accuracyByPosition);
    expect(single.nll).toBeCloseTo(member.nll, 6);
    expect(single.entropy).toBeCloseTo(member.entropy, 6);
    expect(single.mutualInformation).toBe(0);
  });

  it("does not change its input and survives JSON", () => {
    const before = members.map((p) => p.slice());
    const measures = ensembleMeasures(members, probe);
    expect(members).toEqual(before);
    expect(JSON.parse(JSON.stringify(measures))).toEqual(measures);
  });
});

describe("on the probe sets of a run", () => {
  const config = freshConfig({ task: { probeNoise: 0.2 }, evaluation: { prompts: 40 } });
  for (const set of createProbeSets(config)) {
    it(`${set.name}: the generalising predictor reaches its own reference values`, () => {
      const { G } = set.references;
      const measures = ensembleMeasures([G, Float32Array.from(G)], set);
      expect(measures.entropy).toBeCloseTo(set.reference.entropyG, 6);
      expect(measures.distanceG.jensenShannon).toBeLessThan(1e-6);
      expect(measures.mutualInformation).toBeLessThan(1e-6);
      expect(measures.accuracyByPosition).toHaveLength(set.reference.positions);
    });
  }
});

describe("bad input", () => {
  it("names what does not fit", () => {
    expect(() => ensembleMeasures([], probe)).toThrow(
      /length of memberProbabilities: got 0, must be at least 1/,
    );
    expect(() => ensembleMeasures([members[0], members[1].slice(1)], probe)).toThrow(
      /memberProbabilities\[1\]/,
    );
    expect(() => predictiveMeasures(members[0].slice(C), probe)).toThrow(/probabilities/);
    const broken = members[1].slice();
    broken[(4 * P + 1) * C + 2] = Number.NaN;
    expect(() => ensembleMeasures([members[0], broken], probe)).toThrow(
      /member 1, prompt 4, position 1, class 2/,
    );
    expect(() => predictiveMeasures(broken, probe)).toThrow(/prompt 4, position 1, class 2/);
    expect(() =>
      predictiveMeasures(members[0], { ...probe, batch: { ...probe.batch, batchSize: 7 } }),
    ).toThrow(/batchSize/);
    const short = { ...probe, references: { ...probe.references, M: probe.references.M.slice(1) } };
    expect(() => predictiveMeasures(members[0], short)).toThrow(/references\.M/);
  });
});
