/** The statistics of the scored benchmark: rankings, events and alarms, regressions, splits, temperatures. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
// @ts-expect-error a program, not part of the package
import { alarmsAbove, chooseThreshold, summary } from "../experiments/diagnosis/alarms.mjs";
// @ts-expect-error a program, not part of the package
import { unseenFromCheckpoints } from "../experiments/diagnosis/checkpoints.mjs";
// @ts-expect-error a program, not part of the package
import { ensemblesOf } from "../experiments/diagnosis/ensembles.mjs";
// @ts-expect-error a program, not part of the package
import { firstSustained, lowestInRow, outcome, sustained } from "../experiments/diagnosis/events.mjs";
// @ts-expect-error a program, not part of the package
import { scoreIntervals, scoreUnknown } from "../experiments/diagnosis/intervals.mjs";
// @ts-expect-error a program, not part of the package
import { alarmOf, judged } from "../experiments/diagnosis/judge.mjs";
// @ts-expect-error a program, not part of the package
import { labelsOf, part, predictionsAt } from "../experiments/diagnosis/predictions.mjs";
// @ts-expect-error a program, not part of the package
import * as ranking from "../experiments/diagnosis/ranking.mjs";
// @ts-expect-error a program, not part of the package
import { fitLinear, fitLogistic } from "../experiments/diagnosis/regression.mjs";
// @ts-expect-error a program, not part of the package
import { inWords, settingsOf, splitOf } from "../experiments/diagnosis/settings.mjs";
// @ts-expect-error a program, not part of the package
import { singlePrompts } from "../experiments/diagnosis/single-prompts.mjs";
// @ts-expect-error a program, not part of the package
import { scoreWarning } from "../experiments/diagnosis/warning.mjs";
import { answersOf } from "../src/diagnosis/estimators.ts";
import { createConfig, Diagnosis, decompose, type EvaluationDiagnosis, runEnsemble } from "../src/index.ts";
import { normals, stream } from "../src/random.ts";
import { drawProbePrompts } from "../src/tasks/probe-prompts.ts";

const {
  bootstrap,
  bootstrapShare,
  intervalOver,
  median,
  quantile,
  Ranking,
  riskCoverage,
  shareIntervalOver,
} = ranking;

type Said = Pick<EvaluationDiagnosis, "state" | "generalised" | "estimatedAccuracy">;

const noise = (count: number, seed = 1) => {
  const values = new Float64Array(count);
  normals(stream(seed, 0, "evaluation", 0), values);
  return values;
};

describe("rankings", () => {
  const items = (scores: number[], labels: number[], groups = scores.map(() => 0)) =>
    scores.map((score, i) => ({ score, label: labels[i] === 1, group: groups[i] }));

  it("are what a count over all pairs gives, ties half", () => {
    const scores = [...noise(60)].map((value) => Math.round(2 * value));
    const labels = [...noise(60, 2)].map((value, i) => Number(value + scores[i] > 0.5));
    let [won, pairs] = [0, 0];
    for (const [i, a] of labels.entries())
      for (const [j, b] of labels.entries())
        if (a === 1 && b === 0) {
          pairs++;
          won += scores[i] > scores[j] ? 1 : scores[i] === scores[j] ? 0.5 : 0;
        }
    expect(new Ranking(items(scores, labels)).auroc()).toBeCloseTo(won / pairs, 12);
  });

  it("have the average precision of scikit-learn's example", () => {
    expect(new Ranking(items([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])).averagePrecision()).toBeCloseTo(5 / 6, 12);
  });

  it("take a run as often as it is drawn", () => {
    const all = items([3, 2, 1, 0], [1, 0, 1, 0], [0, 0, 1, 1]);
    const twice = items([3, 2, 1, 0, 3, 2], [1, 0, 1, 0, 1, 0]);
    expect(new Ranking(all).auroc([2, 1])).toBeCloseTo(new Ranking(twice).auroc(), 12);
    expect(new Ranking(all).averagePrecision([2, 1])).toBeCloseTo(new Ranking(twice).averagePrecision(), 12);
  });

  it("put what is untrained last", () => {
    const scores = [-Infinity, 2, -Infinity, 1, -Infinity];
    expect(new Ranking(items(scores, [0, 1, 0, 0, 1])).auroc()).toBeCloseTo((3 + 1) / 6, 12);
  });

  it("say nothing where there is one label", () => {
    expect(new Ranking(items([1, 2], [1, 1])).auroc()).toBeNull();
    expect(new Ranking(items([1, 2], [0, 0])).averagePrecision()).toBeNull();
  });

  it("order answers by certainty", () => {
    const { area, at } = riskCoverage([0.9, 0.1, 0.5, 0.2], [1, 0, 1, 0]);
    expect(at).toEqual([0, 0, 1 / 3, 1 / 2]);
    expect(area).toBeCloseTo((0 + 0 + 1 / 3 + 1 / 2) / 4, 12);
  });
});

describe("intervals", () => {
  const width = ([low, high]: [number, number]) => high - low;
  const meanOf = (values: number[]) => (times: Int32Array) =>
    values.reduce((sum, value, i) => sum + times[i] * value, 0) /
    times.reduce((sum, count) => sum + count, 0);

  it("over runs have the spread of a mean, and those for new runs have also theirs", () => {
    const values = [...noise(100)];
    const runs = values.map((_, i) => i);
    const once = width(intervalOver(runs, 1, meanOf(values)));
    expect(once).toBeGreaterThan(0.3);
    expect(once).toBeLessThan(0.5);
    expect(Math.abs(width(bootstrap(runs, meanOf(values))) / once - Math.SQRT2)).toBeLessThan(0.2);
  });

  it("over settings do not narrow with more seeds of each", () => {
    const settings = [...noise(50)];
    const seeds = settings.flatMap((value) => [value, value, value, value]);
    const names = seeds.map(String);
    const once = bootstrap(settings.map(String), meanOf(settings));
    expect(width(bootstrap(names, meanOf(seeds)))).toBeCloseTo(width(once), 10);
  });

  it("hold other settings that are like the ones they are from", () => {
    const runs = Array.from({ length: 24 }, (_, i) => {
      const event = i % 3 === 0 ? 300 : null;
      const generalised = [0, 100, 200, 300, 400, 500].map((step) => event !== null && step >= event);
      return {
        ...{ setting: String(i >> 1), event, censored: false, alarmStep: event, generalised },
        evaluations: generalised.map((is, k) => ({
          ...{ step: 100 * k, state: "memorising", generalised: Number(is), accuracy: Number(is) },
          estimate: { value: Number(is), low: 0, high: 1 },
        })),
      };
    });
    const unknown = scoreUnknown(runs.slice(0, 12), runs.slice(12));
    expect(unknown.map(({ there }: { there: number }) => there)).toEqual([1, 1, 0, 0, 0, 0, 1]);
    for (const { interval, there } of unknown) {
      expect(there).toBeGreaterThanOrEqual(interval[0]);
      expect(there).toBeLessThanOrEqual(interval[1]);
    }
    const rows = scoreIntervals(runs.slice(0, 12), runs.slice(12), 5);
    expect(rows.map(({ here }: { here: number }) => here)).toEqual([1, 1, 0, 0, 0, 0, 1]);
    for (const { there, here, held } of rows) {
      expect(there).toBe(here);
      expect(held).toEqual([1, 1, 1]);
    }
  });

  it("of shares do not vanish where all are alike", () => {
    const settings = Array.from({ length: 40 }, (_, i) => String(i >> 1));
    const never = () => 0;
    expect(bootstrap(settings, never)).toEqual([0, 0]);
    // Wilson's, of none in twenty, and in half as many with the luck of others.
    const bound = (trials: number) => 1.96 ** 2 / (trials + 1.96 ** 2);
    expect(shareIntervalOver(settings, 1, never)[1]).toBeCloseTo(bound(20), 10);
    const [low, high] = bootstrapShare(settings, never);
    expect(low).toBe(0);
    expect(high).toBeCloseTo(bound(10), 10);
    expect(shareIntervalOver(settings, 2, never, 5)[1]).toBeCloseTo(bound(4), 10);
  });

  it("are of order statistics", () => {
    expect(quantile([4, 1, 3, 2], 0.25)).toBe(1.75);
    expect(median([])).toBeNull();
  });
});

describe("events and alarms", () => {
  const flags = (text: string) => [...text].map((letter) => letter === "x");

  it("take three in a row, and do not know of fewer at the end", () => {
    const of = (text: string) => sustained(flags(text)).map((value: boolean | null) => value ?? "?");
    expect(of(".xx.xxx.")).toEqual([false, false, false, false, true, true, true, false]);
    expect(of("xxx.xx")).toEqual([true, true, true, false, "?", "?"]);
    expect(of("xxxx")).toEqual([true, true, true, true]);
    expect(firstSustained(flags(".xx.xxx."))).toBe(4);
    expect(firstSustained(flags("..xx"))).toBe(-1);
    expect(lowestInRow([5, 3, 4, 6])).toEqual([-Infinity, -Infinity, 3, 3]);
  });

  it("are found, missed, false or not due", () => {
    expect(outcome(500, 1000)).toEqual({ kind: "found", lead: -1 });
    expect(outcome(null, 1000)).toEqual({ kind: "missed" });
    expect(outcome(500, null)).toEqual({ kind: "false" });
    expect(outcome(null, null)).toEqual({ kind: "none due" });
  });

  const steps = [0, 100, 200, 300, 400, 500, 600, 700];
  const run = (rise: number, event: number | null, level = 1) => ({
    ...{ steps, event, scores: steps.map((step) => (step >= rise ? level : step / 1e4)) },
  });

  it("have the threshold that costs least", () => {
    const runs = [run(300, 300), run(400, 400), run(200, null, 0.5)];
    const threshold = chooseThreshold(runs);
    expect(threshold).toBeGreaterThanOrEqual(0.5);
    expect(threshold).toBeLessThan(1);
    expect(summary(alarmsAbove(threshold, runs))).toMatchObject({
      ...{ due: 2, missed: 0, notDue: 1, false: 0, early: 0, late: 0, medianLead: 0, cost: 0 },
    });
    expect(summary(alarmsAbove(0.4, runs))).toMatchObject({ false: 1, cost: 2 / 3 });
    expect(summary(alarmsAbove(2, runs))).toMatchObject({ missed: 2, medianLead: null });
  });
});

describe("regressions", () => {
  const x = noise(400);
  const rows = Array.from({ length: 200 }, (_, i) => [x[2 * i], 100 + 30 * x[2 * i + 1]]);
  const ones = rows.map(() => 1);

  it("find a line", () => {
    const predict = fitLinear(
      rows,
      rows.map(([a, b]) => 2 + 3 * a - b / 10),
      ones,
      1e-9,
    );
    expect(predict([1, 100])).toBeCloseTo(2 + 3 - 10, 5);
  });

  it("find a logistic curve", () => {
    const chance = (a: number) => 1 / (1 + Math.exp(-(0.5 + 2 * a)));
    const twice = [...rows, ...rows];
    const labels = twice.map((_, i) => Number(i < rows.length));
    const weights = twice.map(([a], i) => (i < rows.length ? chance(a) : 1 - chance(a)));
    const predict = fitLogistic(twice, labels, weights, 1e-9);
    expect(predict([0, 100])).toBeCloseTo(chance(0), 4);
    expect(predict([1, 100])).toBeCloseTo(chance(1), 4);
  });
});

describe("settings", () => {
  const config = (pool: number, seed: number, members = 4) =>
    createConfig({ seed, task: { promptPool: pool }, ensemble: { members } });

  it("are split without regard to the seed, the members and other runs", () => {
    const a = settingsOf(config(2000, 1));
    expect(settingsOf(config(2000, 7, 2))).toEqual(a);
    expect(settingsOf(config(2500, 1))).not.toEqual(a);
    const splits = Array.from({ length: 40 }, (_, i) => splitOf(settingsOf(config(1000 + i, 0))));
    expect(splits.filter((split) => split === "test").length).toBeGreaterThan(8);
    expect(splits.filter((split) => split === "test").length).toBeLessThan(32);
  });

  it("are named by what sets them apart", () => {
    const all = [2000, 2000, 0].map((pool) => settingsOf(config(pool, 0)));
    expect(inWords(all)).toEqual(["usual", "usual", "promptPool=0"]);
  });
});

it("the rule on kept estimates says what the diagnosis says", () => {
  const [members, prompts, classes] = [3, 60, 7];
  const z = noise(members * prompts * classes, 5);
  const labels = Int32Array.from({ length: prompts }, (_, b) => b % classes);
  const arrayOf = (insight: number) => {
    const data = Float32Array.from(z, (value) => value);
    for (let row = 0; row < members * prompts; row++) data[row * classes + labels[row % prompts]] += insight;
    return { shape: [members, prompts, classes], data };
  };
  const scale = { chance: 0.1, ceiling: 0.95 };
  for (const known of ["cycle", "seen", "nothing"]) {
    const settings = { ...scale, cycleChance: 0.2, cycleCeiling: 0.8, logits: true };
    const whole = new Diagnosis(settings);
    const kept = [0, 1, 2, 4, 6, 6, 6, 6].map((insight, step) => {
      const predictions = arrayOf(insight);
      const seen = { predictions: arrayOf(insight + 1), labels };
      const cycle = { predictions: arrayOf(insight + 2), labels };
      whole.push({
        ...{ step, predictions },
        ...(known === "cycle" && { cycle }),
        ...(known !== "nothing" && { seen }),
      });
      return new Diagnosis(settings).push({ step, predictions, cycle, seen });
    });
    const said = kept.map((each) => judged(each, { prompts, classes, scale, known }));
    const brief = ({ state, generalised, estimatedAccuracy }: Said) => [
      state,
      generalised,
      estimatedAccuracy,
    ];
    expect(said.map(({ estimate, ...each }) => brief({ ...each, estimatedAccuracy: estimate }))).toEqual(
      whole.result.evaluations.map(brief),
    );
    expect(whole.result.alarmStep).toBeGreaterThan(0);
    expect(alarmOf(said)).toBe(whole.result.alarmStep);
  }
});

it("a part is of these members on these prompts", () => {
  const array = { shape: [2, 3, 2], data: Float32Array.from({ length: 12 }, (_, i) => i) };
  expect([...part(array, [1], [1, 3]).data]).toEqual([8, 9, 10, 11]);
  expect(part(array, [1, 0])).toMatchObject({ shape: [2, 3, 2] });
  expect([...part(array, [1, 0]).data]).toEqual([6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]);
});

it("checkpoints say on a run's own prompts what it kept, and its members make ensembles", async () => {
  const folder = mkdtempSync(join(tmpdir(), "epigrok-diagnosis-"));
  const config = createConfig({
    task: { modulus: 5, trainTasks: 3, promptPool: 24 },
    model: { dModel: 16, nHeads: 2, nLayers: 1, dMlp: 16 },
    training: { steps: 4, batchSize: 16, warmupSteps: 1 },
    evaluation: { every: 4, prompts: 4 },
    ensemble: { members: 2 },
    checkpoints: { schedule: "evaluations" },
  });
  await runEnsemble(config, { out: folder, workers: 1 });
  const { evaluations, labels, cycle: asked } = await unseenFromCheckpoints(folder, 10);
  expect(evaluations.map(({ step }: { step: number }) => step)).toEqual([0, 4]);
  for (const { step, unseen, cycle } of evaluations) {
    const kept = predictionsAt(folder, step);
    expect(part(unseen, [0, 1], [0, 4]).data).toEqual(kept.unseen.data);
    expect(part(cycle, [0, 1], [0, 4]).data).toEqual(kept.cycle.data);
  }
  // z of the first example of each prompt, as x z x.
  const probes = drawProbePrompts(config.task, config.seed, 4)[1];
  expect(asked.labels.slice(0, 4)).toEqual(probes.batch.tokens.filter((_, i) => i % 3 === 1));
  expect(labels.slice(0, 4)).toEqual(labelsOf(config).unseenTasks);
  const ensembles = await ensemblesOf(folder);
  // One of two members and two of one, on one lot of all prompts and four of each fewer, with three kinds of knowledge.
  expect(ensembles.length).toBe(3 * (1 + 4 + 4 + 4) * 3);
  const [{ members, prompts, evaluations: judgedOnes }] = ensembles;
  expect([members, prompts, judgedOnes.length]).toEqual([2, 1024, 2]);
  rmSync(folder, { recursive: true });
});

it("a temperature sets right what is too sure, and uncertainty tells errors", () => {
  const [prompts, classes] = [400, 5];
  const z = noise(2 * prompts * classes, 3);
  const draw = noise(4 * prompts, 4);
  const half = (set: number) => {
    const data = new Float32Array(prompts * classes);
    const labels = new Int32Array(prompts);
    for (let b = 0; b < prompts; b++) {
      const logits = Array.from({ length: classes }, (_, c) => 1.5 * z[(set * prompts + b) * classes + c]);
      const weights = logits.map(Math.exp);
      const sum = weights.reduce((all, w) => all + w, 0);
      let left = (0.5 + Math.atan(draw[set * prompts + b]) / Math.PI) * sum;
      labels[b] = Math.max(
        0,
        weights.findIndex((w) => {
          left -= w;
          return left < 0;
        }),
      );
      const sure = logits.map((logit) => Math.exp(3 * logit));
      const all = sure.reduce((total, w) => total + w, 0);
      data.set(
        sure.map((w) => w / all),
        b * classes,
      );
    }
    return { array: { shape: [1, prompts, classes], data }, labels };
  };
  const predictionOf = ({ array, labels }: ReturnType<typeof half>) => ({
    ...decompose(array.data, { members: 1, prompts, classes }),
    ...{ classes, targets: labels, answers: answersOf(Float64Array.from(array.data), classes) },
  });
  const result = singlePrompts(predictionOf(half(0)), predictionOf(half(1)));
  expect(result.temperature).toBeGreaterThan(1.8);
  expect(result.scaledNll).toBeLessThan(result.nll);
  expect(result.scaledEce).toBeLessThan(result.ece);
  expect(result.auroc.totalEntropy).toBeGreaterThan(0.55);
  expect(result.riskCoverage.totalEntropy.area).toBeGreaterThan(result.leastArea);
  expect(result.bins.reduce((sum: number, [count]: number[]) => sum + count, 0)).toBe(prompts);
});

it("the early warning finds the delay law where there is one", () => {
  const runOf = (decay: number, rate: number, seed: number) => {
    const config = createConfig({ training: { weightDecay: decay, learningRate: rate } });
    const memorised = 200;
    const event = memorised + Math.round(1.2 / (decay * rate) / 50) * 50;
    const evaluations = Array.from({ length: 80 }, (_, i) => ({
      ...{ step: 50 * i, seenAccuracy: 0.5, loss: 0.1, weights: null },
      estimate: { value: 0.3 },
      statistics: { mutualInformation: 0.5, expectedEntropy: 0.5, disagreement: 0.5 },
    }));
    return { setting: `${decay} ${rate}`, config, members: 4, memorised, event, evaluations, seed };
  };
  const runs = [0.5, 1, 2].flatMap((decay) => [0.001, 0.0015, 0.002].map((rate) => runOf(decay, rate, 0)));
  const { c, rows } = scoreWarning(runs, runs);
  expect(c).toBeCloseTo(1.2, 1);
  for (const row of rows.filter(({ name }: { name: string }) => name === "law"))
    expect(row.median).toBeLessThan(0.05);
  for (const row of rows.filter(({ name }: { name: string }) => name === "now"))
    expect(row.median).toBeGreaterThan(0.1);
});
