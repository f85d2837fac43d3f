import { describe, expect, it } from "vitest";
import type { RunData } from "../src/report/read-run.ts";
import { headline, story } from "../src/report/story.ts";
import { readEvents } from "../src/run/events.ts";
import { type SyntheticOptions, syntheticRun } from "./fixtures/synthetic-run.ts";

function runOf(options: SyntheticOptions, change: Partial<RunData> = {}): RunData {
  const { config, records, answers, summary } = syntheticRun(options);
  const { references } = summary;
  const { detector } = readEvents(records, references, config.task.modulus);
  return {
    ...{
      directory: "/runs/a",
      name: "a",
      config,
      hash: null,
      records,
      answers,
      summary,
      references,
      detector,
    },
    ...{ events: summary, environment: null, posteriors: [], spectra: [] },
    ...change,
  };
}

const POOL = { config: { task: { promptPool: 1000 } } };
const at = (memorisedStep: number | null, grokStep: number | null, collapseStep: number | null) => ({
  ...{ memorisedStep, grokStep, collapseStep },
});

describe("headline", () => {
  const told = (events: SyntheticOptions["events"], options: SyntheticOptions = {}) =>
    headline(runOf({ ...options, events }));

  it("tells delayed generalisation, and whether the members' agreement told it", () => {
    expect(told(at(500, 2000, 2100))).toBe(
      "It memorised the tasks it trains on, and generalised to unseen tasks after 4.0\u202f× as many steps; at that time the members' disagreement collapsed, which tells it without labels.",
    );
    expect(told(at(500, 2000, 4000))).toContain("collapsed 1.00 octaves after that");
    expect(told(at(500, 2000, 1000))).toContain("collapsed 1.00 octaves before that");
    expect(told(at(500, 2000, null))).toContain("does not show it");
    expect(told(at(500, 510, 510))).toContain("as it learnt the tasks it trains on, without delay");
  });

  it("tells what was learnt short of that, and false alarms", () => {
    expect(told(at(500, null, null))).toMatch(
      /memorised the tasks.* did not generalise.*still disagree: no alarm/,
    );
    expect(told(at(500, null, 3000))).toContain("a false alarm");
    expect(told(at(null, null, null))).toContain("did not learn the tasks it trains on");
    expect(told({ ...at(500, null, null), generalisedStep: 900 }, POOL)).toContain(
      "fresh prompts of the tasks it trains on, but not to unseen tasks",
    );
    expect(told(at(500, 2000, 2000), POOL)).toContain("It memorised the prompts it trains on");
  });

  it("knows an unfinished run, one member, and no evaluation", () => {
    const events = { ...at(500, null, null), uncertaintyPeakStep: null };
    expect(headline(runOf({ events }, { summary: null }))).toContain("so far");
    expect(story(runOf({ events }, { summary: null })).at(-1)!.text).toMatch(/nats .*now\.$/);
    expect(told(at(500, 2000, null), { config: { ensemble: { members: 1 } } })).toContain(
      "one member has no",
    );
    expect(headline(runOf({}, { records: [] }))).toBe("");
    expect(story(runOf({}, { records: [] }))).toEqual([]);
  });
});

describe("story", () => {
  it("has a sentence for each event, of the median member and of the mean prediction", () => {
    const run = runOf({ ...POOL, evaluations: 120 });
    const { memorisedStep, generalisedStep, grokStep } = run.events;
    const mean = run.summary!.meanPrediction!;
    const chapters = story(run);
    expect(chapters.map(({ event }) => event)).toEqual([
      ...["Memorised", "Generalised", "Grokked", "Uncertainty peaked", "Uncertainty collapsed"],
    ]);
    const step = (value: number | null | undefined) =>
      `step ${String(value).replace(/(?=\d{3}$)/, "\u202f")}`;
    const ratio = (value: number) => `${(value / memorisedStep!).toFixed(1)}\u202f× the memorised step`;
    const [memorised, generalised, grokked] = chapters.map(({ text }) =>
      text.replace(/step \u202f/g, "step "),
    );
    expect(memorised).toContain(`at ${step(memorisedStep)}: the median member`);
    expect(generalised).toContain(`at ${step(generalisedStep)}, ${ratio(generalisedStep!)}`);
    expect(grokked).toContain(`at ${step(grokStep)}, ${ratio(grokStep!)}`);
    expect(grokked).toContain(`the mean prediction at ${step(mean.grokStep)}, ${ratio(mean.grokStep!)}`);
    expect(grokked).toContain("4 of 4 members");
  });

  it("relates the collapse to both grok steps, in octaves", () => {
    const run = runOf({ events: { grokStep: 3000, collapseStep: 6000 } });
    const mean = run.summary!.meanPrediction!.grokStep!;
    const text = story(run).at(-1)!.text;
    expect(text).toContain("at step 6\u202f000, 1.00 octaves after the grok step");
    const octaves = Math.log2(6000 / mean);
    const other =
      Math.abs(octaves) < 0.005
        ? "at"
        : `${Math.abs(octaves).toFixed(2)} octaves ${octaves < 0 ? "before" : "after"}`;
    expect(text).toContain(`${other} that of the mean prediction`);
    expect(text).toMatch(/from 90 % to 50 % of the peak in \d+ steps/);
    const same = story(runOf({ events: { grokStep: 6000, collapseStep: 6000 } })).at(-1)!.text;
    expect(same).toContain("at the grok step");
  });

  it("says what did not happen, and who did it nevertheless", () => {
    const run = runOf({ events: at(null, null, null) });
    const texts = story(run).map(({ event, text }) => `${event} ${text}`);
    expect(texts[0]).toMatch(/^Memorised not by step 12\u202f000: .*4 of 4 members do/);
    expect(texts.at(-1)).toMatch(/^No collapse of uncertainty/);
    const one = story(runOf({ config: { ensemble: { members: 1 } } })).at(-1)!;
    expect(one.text).toContain("the diagnostic needs two");
    const [alone] = story(runOf({ config: { ensemble: { members: 1 } } }));
    expect(alone.text).toMatch(/: the member answers fresh prompts of seen tasks\.$/);
  });
});
