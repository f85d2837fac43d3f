/** The figure of the members' own uncertainty. */
import { expect, it } from "vitest";
import { stepFigures } from "../src/report/figures/index.ts";
import { posteriorFigure } from "../src/report/figures/posterior.ts";
import type { RunData } from "../src/report/read-run.ts";
import { renderSvg } from "../src/report/svg.ts";
import { readEvents } from "../src/run/events.ts";
import type { MetricsRecord } from "../src/run/records.ts";
import type { PosteriorMeasures } from "../src/uncertainty/measures.ts";
import { syntheticRun } from "./fixtures/synthetic-run.ts";

const plain = syntheticRun({ config: { training: { optimizer: "ivon", steps: 1200 } }, evaluations: 12 });

/** Member m's MI at a step, on unseen tasks; on seen ones a tenth. */
const information = (step: number, member: number) => 0.2 + 0.1 * member + step / 10000;
const measures = (mutualInformation: number): PosteriorMeasures => {
  return {
    samples: 16,
    expectedEntropy: 0.3,
    mutualInformation,
    mutualInformationByPosition: [0, mutualInformation],
  };
};
const withPosterior = (record: MetricsRecord): MetricsRecord => ({
  ...record,
  members: record.members.map(({ sets, ...rest }) => ({
    ...rest,
    sets: {
      seenTasks: { ...sets.seenTasks!, posterior: measures(information(record.step, rest.member) / 10) },
      unseenTasks: { ...sets.unseenTasks!, posterior: measures(information(record.step, rest.member)) },
    },
  })),
});

const runData = (records: MetricsRecord[]): RunData =>
  ({
    config: plain.config,
    records,
    summary: plain.summary,
    references: plain.summary.references,
    events: plain.summary,
    detector: readEvents(records, plain.summary.references, plain.config.task.modulus).detector,
    posteriors: [],
    spectra: [],
  }) as unknown as RunData;
const records = plain.records.map(withPosterior);
const run = runData(records);

interface Value {
  x: number;
  y: number | null;
  key: string;
}
function lines(key: string): Value[] {
  const { layer } = posteriorFigure(run, "linear")!.spec as unknown as {
    layer: { mark: { type: string }; data: { values: Value[] } }[];
  };
  return layer.find(({ mark }) => mark.type === "line")!.data.values.filter((value) => value.key === key);
}

it("draws each member's mutual information and their mean", () => {
  const steps = records.map((record) => record.step);
  const drawn = (key: string) => lines(key).map(({ x, y }) => [x, y]);
  expect(drawn("unseenTasks member 2")).toEqual(steps.map((step) => [step, information(step, 2)]));
  expect(drawn("seenTasks member 0")).toEqual(steps.map((step) => [step, information(step, 0) / 10]));
  for (const { x, y } of lines("unseenTasks")) expect(y).toBeCloseTo(information(x, 1.5), 12);
  expect(lines("unseenTasks")).toHaveLength(steps.length);
});

it("says what was sampled and how often", async () => {
  const figure = posteriorFigure(run, "linear")!;
  expect(figure.caption).toContain(
    "S = 16 samples of each member's own weights (IVON), so at most log S = 2.77",
  );
  expect(figure.caption).toContain("K = 4");
  const model = { ...run.config.model, dropout: 0.1 };
  const caption = (training: RunData["config"]["training"]) =>
    posteriorFigure({ ...run, config: { ...run.config, model, training } }, "linear")!.caption;
  expect(caption(run.config.training)).toContain("own weights (IVON) and dropout masks, so");
  expect(caption({ ...run.config.training, optimizer: "adamw" })).toContain("own dropout masks, so");
  expect(await renderSvg(figure.spec)).toContain("MI (nats)");
});

it("is a figure of the runs that have the measures, and of no other", () => {
  const id = (data: RunData) => stepFigures(data, [], "linear").map((figure) => figure.id);
  expect(id(run)).toContain("member-posterior");
  expect(id(runData(plain.records))).not.toContain("member-posterior");
  expect(posteriorFigure(runData([]), "linear")).toBeNull();
});

it("leaves a gap where a member has dropped out", () => {
  const [first, ...rest] = records;
  const shrunk = rest.map((record) => ({ ...record, members: record.members.slice(1) }));
  const figure = posteriorFigure(runData([first, ...shrunk]), "linear")!;
  const { layer } = figure.spec as unknown as {
    layer: { mark: { type: string }; data: { values: Value[] } }[];
  };
  const values = layer.find(({ mark }) => mark.type === "line")!.data.values;
  const ys = (key: string) => values.filter((value) => value.key === key).map(({ y }) => y);
  expect(ys("unseenTasks member 0").slice(1)).toEqual(rest.map(() => null));
  expect(ys("unseenTasks").at(-1)).toBeCloseTo(information(1200, 2), 12);
});
