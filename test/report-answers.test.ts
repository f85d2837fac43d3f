import { describe, expect, it } from "vitest";
import { blocksOf } from "../src/report/answers/blocks.ts";
import { allFrames, keyFrames } from "../src/report/answers/frames.ts";
import { heatMap } from "../src/report/answers/heat-map.ts";
import type { AnswerRecord, RunEvents } from "../src/run/records.ts";

/** Two seen tasks and one unseen, two inputs; four members. */
const recordAt = (step: number, extra: Partial<AnswerRecord> = {}): AnswerRecord => ({
  ...{ step, members: 4, tasks: [0, 2, 1], seenTasks: 2, inputs: [0, 1], seenInputs: 2 },
  fresh: { right: [4, 4, 2, 0, 1, 0], confidence: [1, 1, 0.5, 0.9, 0.2, 0.1] },
  ...extra,
});

const pool = { right: [4, null, 3, 4, null, null], confidence: [1, null, 0.8, 1, null, null] };

describe("blocksOf", () => {
  it("parts seen from unseen tasks, and counts what is right of each", () => {
    const blocks = blocksOf(recordAt(0));
    expect(blocks.map(({ label, right }) => [label, right])).toEqual([
      ["seen tasks", 10 / 16],
      ["unseen tasks", 1 / 8],
    ]);
    expect(blocks[1].cells).toEqual([
      { right: 0.25, confidence: 0.2 },
      { right: 0, confidence: 0.1 },
    ]);
  });

  it("has what is trained first, of seen tasks alone, and leaves cells without a prompt empty", () => {
    const blocks = blocksOf(recordAt(0, { pool }));
    expect(blocks.map(({ label }) => label)).toEqual([
      "trained prompts",
      "seen tasks, fresh",
      "unseen tasks",
    ]);
    expect(blocks[0].cells).toEqual([
      { right: 1, confidence: 1 },
      null,
      { right: 0.75, confidence: 0.8 },
      { right: 1, confidence: 1 },
    ]);
    expect(blocks[0].right).toBeCloseTo(11 / 12, 12);
  });

  it("tells a block without a single prompt from one without a right answer", () => {
    const none = { right: new Array(6).fill(null), confidence: new Array(6).fill(null) };
    expect(blocksOf(recordAt(0, { fresh: none })).map(({ right }) => right)).toEqual([null, null]);
  });
});

describe("heatMap", () => {
  const cell = (right: number, confidence: number) => ({ right, confidence });
  const paths = (svg: string) =>
    [...svg.matchAll(/<path d="([^"]+)" stroke="var\(--share-(\d)[^"]*" stroke-opacity="([^"]+)"/g)].map(
      ([, d, share, opacity]) => [d, Number(share), Number(opacity)],
    );

  it("draws equal neighbours of a row as one, hue by share and strength by confidence", () => {
    const cells = [cell(1, 1), cell(1, 0.97), cell(0, 0.02), cell(0.5, 0.5), null, cell(1, 1)];
    const svg = heatMap({ label: "x", columns: 3, cells, right: 0.5 }, 3, "four");
    expect(paths(svg)).toEqual([
      ["M0 0.5h2M2 1.5h1", 4, 1],
      ["M2 0.5h1", 0, 0.12],
      ["M0 1.5h1", 2, 0.5],
    ]);
    expect(svg).toContain('aria-label="four"');
  });

  it("sets unseen inputs apart, and keeps rows flat where there are many", () => {
    const cells = new Array(40).fill(cell(1, 1));
    const svg = heatMap({ label: "x", columns: 2, cells, right: 1 }, 1, "");
    expect(paths(svg)[0][0]).toMatch(/^M0 0.5h1M1.6 0.5h1M0 1.5h1/);
    expect(svg).toContain('viewBox="0 0 200 150"');
    expect(heatMap({ label: "x", columns: 2, cells: cells.slice(2, 4), right: 1 }, 2, "")).toContain(
      'viewBox="0 0 200 100"',
    );
  });
});

describe("frames", () => {
  const none: RunEvents = {
    ...{ memorisedStep: null, grokStep: null, uncertaintyPeakStep: null, collapseStep: null },
  };
  const answers = Array.from({ length: 101 }, (_, i) => recordAt(100 * i));
  const keys = (events: Partial<RunEvents>, records = answers) =>
    keyFrames({ answers: records, events: { ...none, ...events } }).map(({ record, name }) => [
      record.step,
      name,
    ]);

  it("are start, memorised, peak, collapse and end, in order of step", () => {
    const events = { memorisedStep: 500, uncertaintyPeakStep: 900, collapseStep: 3000, grokStep: 3200 };
    expect(keys(events)).toEqual([
      [0, "start"],
      [500, "memorised"],
      [900, "MI peak"],
      [3000, "collapse"],
      [10000, "end"],
    ]);
  });

  it("have the grok step without a collapse, and start and end alone without events", () => {
    expect(keys({ grokStep: 3200 })).toEqual([
      [0, "start"],
      [3200, "grok"],
      [10000, "end"],
    ]);
    expect(keys({})).toEqual([
      [0, "start"],
      [10000, "end"],
    ]);
    expect(keys({}, answers.slice(0, 1))).toEqual([[0, "start, end"]]);
    expect(keys({}, [])).toEqual([]);
  });

  it("are the nearest there is, with both names where two fall together", () => {
    const few = answers.filter(({ step }) => step % 1000 === 0);
    expect(keys({ memorisedStep: 900, uncertaintyPeakStep: 1400, collapseStep: 9900 }, few)).toEqual([
      [0, "start"],
      [1000, "memorised, MI peak"],
      [10000, "collapse, end"],
    ]);
  });

  it("of the slider are at most so many, with all events and both ends", () => {
    const frames = allFrames({ answers, events: { ...none, memorisedStep: 700, generalisedStep: 1100 } });
    const steps = frames.map(({ record }) => record.step);
    expect(frames.length).toBeLessThanOrEqual(40);
    expect(frames.length).toBeGreaterThan(30);
    expect([steps[0], steps.at(-1)]).toEqual([0, 10000]);
    expect(frames.filter(({ name }) => name !== "").map(({ record, name }) => [record.step, name])).toEqual([
      [700, "memorised"],
      [1100, "generalised"],
    ]);
    expect(allFrames({ answers: answers.slice(0, 20), events: none })).toHaveLength(20);
  });
});
