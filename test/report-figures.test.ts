import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diagnose } from "../src/report/diagnosis.ts";
import { accuracyFigure } from "../src/report/figures/accuracy.ts";
import { comparisonFigures } from "../src/report/figures/comparison.ts";
import { entropyFigure } from "../src/report/figures/entropy.ts";
import { clearerAxis, uncertaintyBands } from "../src/report/figures/events.ts";
import { otherFigures, stepFigures } from "../src/report/figures/index.ts";
import { informationFigure } from "../src/report/figures/information.ts";
import { lossFigure } from "../src/report/figures/loss.ts";
import { methodsOf } from "../src/report/figures/methods.ts";
import { type Figure, logTicks, placeMarks, spread, stepAxis } from "../src/report/figures/plot.ts";
import { chooseMoments, positionFigure } from "../src/report/figures/position.ts";
import { quadrantFigures } from "../src/report/figures/quadrants.ts";
import { formatNumber, formatPercent, formatStep } from "../src/report/format.ts";
import { type RunData, readRun } from "../src/report/read-run.ts";
import { renderSvg } from "../src/report/svg.ts";
import {
  STATISTIC_NAMES,
  STATISTICS,
  type StatisticName,
  type StatisticPlot,
} from "../src/uncertainty/statistics.ts";
import { type SyntheticOptions, syntheticRun, writeSyntheticRun } from "./fixtures/synthetic-run.ts";

let scratch: string;
let run: RunData;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "epigrok-figures-"));
  run = await load({});
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

let count = 0;
async function load(options: SyntheticOptions): Promise<RunData> {
  return readRun(await writeSyntheticRun(join(scratch, `run-${count++}`), syntheticRun(options)));
}

interface Value {
  x: number;
  y: number | null;
  key: string;
  strokeWidth: number;
  label: string;
  pixel: number;
}

/** The values behind one layer of a figure, found by the mark it draws and a field it has. */
function layer(figure: Figure, mark: string, field: string): Value[] {
  const { layer: layers } = figure.spec as unknown as {
    layer: { mark: { type: string }; data: { values: Value[] } }[];
  };
  const found = layers.find(
    ({ mark: { type }, data }) => type === mark && data.values.some((value) => field in value),
  );
  return found?.data.values ?? [];
}

function lines(figure: Figure): Map<string, Value[]> {
  const values = layer(figure, "line", "key");
  const keys = new Set(values.map(({ key }) => key));
  return new Map([...keys].map((key) => [key, values.filter((value) => value.key === key)]));
}

const yDomain = (figure: Figure): [number, number] => {
  const { layer: layers } = figure.spec as unknown as {
    layer: { encoding: { y: { scale?: { domain?: [number, number] } | null } } }[];
  };
  return layers.flatMap(({ encoding }) => [encoding.y.scale?.domain ?? []].flat()) as [number, number];
};

const labels = (figure: Figure) => layer(figure, "text", "colour").map((value) => value.label);
const marks = (figure: Figure) => layer(figure, "rule", "pixel");

describe("figures of a run", () => {
  it("draws accuracy of ensemble and members with ceiling and chance", () => {
    const figure = accuracyFigure(run, "linear");
    const drawn = lines(figure);
    expect([...drawn.keys()].sort()).toEqual(
      [
        "ceiling",
        "chance",
        "seenTasks",
        "unseenTasks",
        ...[0, 1, 2, 3].flatMap((m) => [`seenTasks member ${m}`, `unseenTasks member ${m}`]),
      ].sort(),
    );
    expect(drawn.get("unseenTasks")!.map(({ x, y }) => [x, y])).toEqual(
      run.records.map(({ step, ensemble }) => [step, ensemble.unseenTasks!.accuracy]),
    );
    expect(drawn.get("seenTasks member 2")!.map(({ y }) => y)).toEqual(
      run.records.map(({ members }) => members[2].sets.seenTasks!.accuracy),
    );
    expect(drawn.get("ceiling")!.map(({ y }) => y)).toEqual([0.985, 0.985]);
    expect(drawn.get("chance")!.map(({ y }) => y)).toEqual([1 / 23, 1 / 23]);
    expect(drawn.get("seenTasks")![0].strokeWidth).toBeGreaterThan(
      drawn.get("seenTasks member 0")![0].strokeWidth,
    );
    expect(labels(figure).sort()).toEqual(["ceiling", "chance", "seen", "unseen"]);
  });

  it("marks the events at their steps", () => {
    const { memorisedStep, uncertaintyPeakStep, collapseStep, grokStep } = run.events;
    const drawn = marks(accuracyFigure(run, "linear")).sort((a, b) => a.x - b.x);
    expect(drawn.map(({ label, x }) => [label, x])).toEqual([
      ["memorised", memorisedStep],
      ["MI peak", uncertaintyPeakStep],
      ["collapse", collapseStep],
      ["grok", grokStep],
    ]);
    const { width } = accuracyFigure(run, "linear").spec as unknown as { width: number };
    for (const { x, pixel } of drawn) expect(pixel).toBeCloseTo((width * x) / 12000, 8);
    for (const { x, pixel } of marks(accuracyFigure(run, "log"))) {
      expect(pixel).toBeCloseTo((width * Math.log(x / 200)) / Math.log(12000 / 200), 8);
    }
  });

  it("draws MI on an axis of its own, and names K and its bound", () => {
    const figure = informationFigure(run, "linear");
    const drawn = lines(figure);
    for (const set of ["seenTasks", "unseenTasks"] as const)
      expect(drawn.get(set)!.map(({ y }) => y)).toEqual(
        run.records.map(({ ensemble }) => ensemble[set]!.mutualInformation),
      );
    expect([...drawn.keys()].sort()).toEqual(["seenTasks", "unseenTasks"]);
    const peak = run.detector.peakMutualInformation!;
    expect(yDomain(figure)[1]).toBeGreaterThanOrEqual(peak);
    expect(yDomain(figure)[1]).toBeLessThan(1.3 * peak);
    expect(figure.caption).toContain("K = 4");
    expect(figure.caption).toContain("log K = 1.39");
  });

  it("draws expected entropy of ensemble and members, total entropy, and the entropy of G", () => {
    const drawn = lines(entropyFigure(run, "linear"));
    const last = run.records.at(-1)!;
    expect(drawn.get("unseenTasks")!.at(-1)!.y).toBe(last.ensemble.unseenTasks!.expectedEntropy);
    expect(drawn.get("seenTasks")!.at(-1)!.y).toBe(last.ensemble.seenTasks!.expectedEntropy);
    expect(drawn.get("total")!.at(-1)!.y).toBe(last.ensemble.unseenTasks!.totalEntropy);
    expect(drawn.get("unseenTasks member 1")!.at(-1)!.y).toBe(last.members[1].sets.unseenTasks!.entropy);
    expect(drawn.get("G")![0].y).toBe(0.04);
  });

  it("shades the plateau, from half of the peak, and the collapse after it", () => {
    const { fall, peakMutualInformation } = run.detector;
    const [plateau, collapse] = uncertaintyBands(run);
    expect([plateau.to, collapse.from, collapse.to]).toEqual([fall!.start, fall!.start, fall!.end]);
    const information = run.records.map(({ ensemble }) => ensemble.unseenTasks!.mutualInformation);
    const risen = information.findIndex((value) => value >= peakMutualInformation! / 2);
    expect(plateau.from).toBeGreaterThan(run.records[risen - 1].step);
    expect(plateau.from).toBeLessThanOrEqual(run.records[risen].step);
    const { width } = informationFigure(run, "linear").spec as unknown as { width: number };
    const drawn = layer(informationFigure(run, "linear"), "rect", "left") as unknown as {
      left: number;
      right: number;
    }[];
    expect(drawn.map(({ left, right }) => [left, right])).toEqual(
      [plateau, collapse].map(({ from, to }) => [(width * from) / 12000, (width * to) / 12000]),
    );
  });

  it("shades a plateau without end to the last evaluation, and nothing without a peak", async () => {
    const memorising = { ...run, detector: { ...run.detector, fall: null } };
    expect(uncertaintyBands(memorising).map(({ to }) => to)).toEqual([12000]);
    const one = await load({ config: { ensemble: { members: 1 } }, evaluations: 6 });
    expect(uncertaintyBands(one)).toEqual([]);
  });

  it("spaces steps by their logarithm where the events span an octave", () => {
    const none = { memorisedStep: null, grokStep: null, uncertaintyPeakStep: null, collapseStep: null };
    const axis = (events: object) => clearerAxis({ events: { ...none, ...events } });
    expect(axis({ memorisedStep: 500, grokStep: 1000 })).toBe("log");
    expect(axis({ memorisedStep: 500, grokStep: 999 })).toBe("linear");
    expect(axis({ memorisedStep: 0, grokStep: 1000 })).toBe("linear");
    expect(axis({})).toBe("linear");
  });

  it("draws every statistic that has a plot, and leaves a gap where a record lacks it", () => {
    const [first, ...others] = run.records;
    const { voteEntropy: _, ...earlier } = first.ensemble.unseenTasks!;
    const mixed = { ...first, ensemble: { ...first.ensemble, unseenTasks: earlier } };
    const figures = stepFigures({ ...run, records: [mixed, ...others] }, [], "linear");
    const lineOf = (name: StatisticName) => {
      const plot: StatisticPlot = STATISTICS[name].plot!;
      const figure = figures.find(({ id }) => id === plot.figure)!;
      expect(figure.caption.toLowerCase()).toContain(`${plot.about} (${plot.stroke})`.toLowerCase());
      expect(labels(figure)).toContain(`${plot.label} unseen`);
      return lines(figure).get(`${name} unseenTasks`)!;
    };
    for (const name of STATISTIC_NAMES.filter((statistic) => STATISTICS[statistic].plot)) {
      const values = others.map(({ ensemble }) => ensemble.unseenTasks![name]);
      expect(
        lineOf(name)
          .slice(1)
          .map(({ y }) => y),
      ).toEqual(values);
    }
    expect(lineOf("voteEntropy")[0].y).toBeNull();
    expect(lineOf("disagreement")[0].y).toBe(first.ensemble.unseenTasks!.disagreement);
  });

  it("breaks a line where there is no number, and averages the members that have one", () => {
    const drawn = lines(lossFigure(run, "linear"));
    expect(drawn.get("loss")![0].y).toBeNull();
    expect(drawn.get("loss 1")![0].y).toBeNull();
    const losses = run.records[5].members.map((member) => member.loss!);
    expect(drawn.get("loss")![5].y).toBeCloseTo(losses.reduce((a, b) => a + b) / losses.length, 12);
  });

  it("leaves out step 0 on a logarithmic axis only", () => {
    const steps = (figure: Figure) =>
      lines(figure)
        .get("unseenTasks")!
        .map(({ x }) => x);
    expect(steps(accuracyFigure(run, "linear"))[0]).toBe(0);
    expect(steps(accuracyFigure(run, "log"))[0]).toBe(200);
  });

  it("draws accuracy and MI on two quadrants, and on four if and only if inputs are held out", async () => {
    const titles = (data: RunData) => quadrantFigures(data, "linear").map(({ title }) => title);
    expect(titles(run)).toEqual(["Seen tasks, seen inputs", "Unseen tasks, seen inputs"]);
    const held = await load({ config: { task: { inputFraction: 0.8 } }, evaluations: 10 });
    expect(titles(held)).toEqual([
      "Seen tasks, seen inputs",
      "Seen tasks, unseen inputs",
      "Unseen tasks, seen inputs",
      "Unseen tasks, unseen inputs",
    ]);
    const quadrants = quadrantFigures(held, "linear");
    const [accuracy, information] = quadrants[3].figures;
    const set = "unseenTasksUnseenInputs";
    expect(
      lines(accuracy)
        .get(set)!
        .map(({ y }) => y),
    ).toEqual(held.records.map(({ ensemble }) => ensemble[set]!.accuracy));
    expect(lines(accuracy).get(`${set} member 2`)!.at(-1)!.y).toBe(
      held.records.at(-1)!.members[2].sets[set]!.accuracy,
    );
    expect(
      lines(information)
        .get(set)!
        .map(({ y }) => y),
    ).toEqual(held.records.map(({ ensemble }) => ensemble[set]!.mutualInformation));
    const domains = quadrants.map(({ figures }) => yDomain(figures[1]));
    expect(new Set(domains.map(String)).size).toBe(1);
    expect(quadrantFigures({ ...run, records: [] }, "log")).toEqual([]);
  });

  it("chooses start, events, the middle of the descent and the end for the context figure", () => {
    const moments = chooseMoments(run);
    expect(moments.map(({ name }) => name)).toEqual([
      "start",
      "memorised",
      "MI peak",
      "half-way",
      "grok",
      "end",
    ]);
    const steps = moments.map(({ record }) => record.step);
    expect(steps).toEqual([...steps].sort((a, b) => a - b));
    const drawn = lines(positionFigure(run));
    expect(drawn.size).toBe(6);
    const peak = run.records.find(({ step }) => step === run.events.uncertaintyPeakStep)!;
    expect(drawn.get(String(peak.step))!.map(({ y }) => y)).toEqual(
      peak.ensemble.unseenTasks!.mutualInformationByPosition,
    );
  });

  it("has unique ids and renders from a single evaluation, from one member, and from none", async () => {
    const ids = [...stepFigures(run, methodsOf(run), "linear"), ...otherFigures(run)].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const one = { ...run, records: run.records.slice(0, 1), summary: null };
    const single = await load({ config: { ensemble: { members: 1 } }, evaluations: 6 });
    const drawn = [
      ...stepFigures(single, [], "linear"),
      ...quadrantFigures(single, "linear").flatMap(({ figures }) => figures),
    ];
    expect(drawn.map(({ id }) => id).filter((id) => /information|-mi$/.test(id))).toEqual([]);
    for (const data of [one, single]) {
      for (const axis of ["linear", "log"] as const) {
        for (const figure of [...stepFigures(data, methodsOf(data), axis), ...otherFigures(data)]) {
          expect(await renderSvg(figure.spec)).not.toMatch(/NaN|Infinity|undefined/);
        }
      }
    }
    expect(stepFigures({ ...run, records: [] }, [], "log")).toEqual([]);
    expect(otherFigures({ ...run, records: [] })).toEqual([]);
  });

  it("overlays several runs and warns of different numbers of members", async () => {
    const eight = await load({ config: { ensemble: { members: 8 } }, evaluations: 30 });
    const [information, accuracy] = comparisonFigures(
      [
        { label: "four", run },
        { label: "eight members each", run: eight },
      ],
      "linear",
    );
    expect(lines(information).get("run 1")!.at(-1)!.y).toBe(
      eight.records.at(-1)!.ensemble.unseenTasks!.mutualInformation,
    );
    expect(lines(accuracy).get("run 0")).toHaveLength(61);
    expect(labels(information)).toEqual(["four", "eight member…"]);
    expect(information.caption).toContain("K = 4, 8");
    expect(information.caption).toContain("differ in K");
  });
});

describe("layout", () => {
  it("keeps labels apart, in order and inside", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 190, noNaN: true }), { maxLength: 12 }), (positions) => {
        const result = spread(positions, 14, 0, 190);
        const order = positions.map((_, i) => i).sort((a, b) => positions[a] - positions[b] || a - b);
        order.forEach((index, i) => {
          expect(result[index]).toBeGreaterThanOrEqual(-1e-9);
          expect(result[index]).toBeLessThanOrEqual(190 + 1e-9);
          if (i > 0) expect(result[index] - result[order[i - 1]]).toBeGreaterThanOrEqual(14 - 1e-9);
        });
      }),
    );
  });

  it("leaves labels alone that have room", () => {
    expect(spread([100, 20, 60], 14, 0, 190)).toEqual([100, 20, 60]);
    expect(spread([100, 100], 14, 0, 190)).toEqual([93, 107]);
  });

  it("places mark labels without crossing each other or the rules of higher rows", () => {
    const axis = stepAxis([0, 1000], "linear");
    const step = fc.integer({ min: 0, max: 1000 });
    fc.assert(
      fc.property(fc.array(step, { minLength: 2, maxLength: 6 }), (steps) => {
        const placed = placeMarks(
          steps.map((x) => ({ x, label: "memorised" })),
          axis,
        );
        const width = 9 * 6.6;
        for (const a of placed) {
          expect(a.textPixel).toBeGreaterThanOrEqual(-60);
          expect(a.textPixel + width).toBeLessThanOrEqual(316 + 96);
          for (const b of placed) {
            if (a === b) continue;
            const apart = a.textPixel + width <= b.textPixel || b.textPixel + width <= a.textPixel;
            expect(a.row !== b.row || apart).toBe(true);
            const struck = b.row > a.row && b.pixel > a.textPixel && b.pixel < a.textPixel + width;
            expect(struck).toBe(false);
          }
        }
      }),
    );
  });

  it("has at least two round ticks on a logarithmic axis", () => {
    expect(logTicks([250, 10000])).toEqual([300, 1000, 3000, 10000]);
    expect(logTicks([1, 100000])).toEqual([1, 10, 100, 1000, 10000, 100000]);
    expect(logTicks([500, 9000])).toEqual([500, 1000, 2000, 5000]);
    expect(logTicks([1100, 1900])).toEqual([1100, 1900]);
    expect(stepAxis([0], "log").domain).toEqual([0.5, 1]);
  });
});

describe("diagnosis", () => {
  const remarks = async (events: SyntheticOptions["events"]) => diagnose(await load({ events })).join("\n");

  it("tells lead, lag and coincidence", async () => {
    expect(await remarks({ collapseStep: 6000, grokStep: 7000 })).toContain("before the run grokked");
    expect(await remarks({ collapseStep: 8000, grokStep: 7000 })).toContain("after the run grokked");
    expect(await remarks({ collapseStep: 7000, grokStep: 7000 })).toContain("same evaluation");
  });

  it("tells a false alarm, a miss and a correct silence", async () => {
    expect(await remarks({ collapseStep: 6000, grokStep: null })).toContain("would have misled");
    expect(await remarks({ collapseStep: null, grokStep: 7000 })).toContain("missed it");
    expect(await remarks({ collapseStep: null, grokStep: null })).toContain("no alarm");
  });

  it("gives the accuracy at the collapse and the low MI of untrained members from the data", async () => {
    const text = await remarks({ collapseStep: 6000 });
    const at = run.records.find(({ step }) => step === 6000)!.ensemble.unseenTasks!;
    expect(text).toContain(formatPercent(at.accuracy));
    expect(text).toContain("untrained members");
  });

  it("tells agreement on wrong answers and transient generalisation", async () => {
    const wrong = structuredClone(run);
    wrong.records.at(-1)!.ensemble.unseenTasks!.accuracy = 0.3;
    const text = diagnose(wrong).join("\n");
    expect(text).toContain("agreement without generalisation");
    expect(text).toContain("transient");
    expect(diagnose(run).join("\n")).not.toMatch(/transient|agreement without/);
  });
});

describe("formats", () => {
  it("groups thousands and keeps three significant digits", () => {
    expect(formatStep(1234567)).toBe("1\u202f234\u202f567");
    expect(formatStep(999)).toBe("999");
    expect(formatStep(null)).toBe("–");
    expect(formatNumber(0.123456)).toBe("0.123");
    expect(formatNumber(1)).toBe("1.00");
    expect(formatNumber(0)).toBe("0");
    expect(formatNumber(1.5e-5)).toBe("1.5\u202f×\u202f10^-5");
    expect(formatNumber(Number.NaN)).toBe("–");
    expect(formatPercent(0.98765)).toBe("98.8\u202f%");
    expect(formatPercent(null)).toBe("–");
  });
});
