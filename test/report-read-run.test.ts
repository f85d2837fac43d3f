import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readRun } from "../src/report/read-run.ts";
import { ForeignRunError, MissingRunError } from "../src/run/errors.ts";
import { readEvents } from "../src/run/events.ts";
import { createProbeSets } from "../src/tasks/probes.ts";
import { syntheticRun, writeSyntheticRun } from "./fixtures/synthetic-run.ts";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "epigrok-read-run-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

const run = syntheticRun({ evaluations: 20 });
const write = (name: string) => writeSyntheticRun(join(scratch, name), run);

describe("readRun", () => {
  it("reads everything that was written", async () => {
    const data = await readRun(await write("whole"));
    expect(data.name).toBe("whole");
    expect(data.config).toEqual(run.config);
    expect(data.hash).toBe("sha256-0123abcd");
    expect(data.records).toEqual(run.records);
    expect(data.summary).toEqual(run.summary);
    expect(data.events.grokStep).toBe(run.summary.grokStep);
    expect(data.environment).toMatchObject({ epigrok: "0.1.0" });
  });

  it("leaves out a line that is still being written", async () => {
    const directory = await write("partial");
    await appendFile(join(directory, "metrics.jsonl"), '{"step": 99999, "members": [{"mem');
    expect((await readRun(directory)).records).toEqual(run.records);
  });

  it("reads a run that is going on: no summary, the events as far as they show", async () => {
    const directory = await write("running");
    await Promise.all(["summary.json", "environment.json"].map((file) => rm(join(directory, file))));
    const data = await readRun(directory);
    expect(data.summary).toBeNull();
    expect(data.environment).toBeNull();
    const references = Object.fromEntries(createProbeSets(run.config).map((p) => [p.name, p.reference]));
    expect(data.references).toEqual(references);
    expect(data.events).toEqual(readEvents(run.records, references, run.config.task.modulus).events);
    for (const step of Object.values(data.events)) expect(step).not.toBeNull();
  });

  it("reads a run without any evaluation", async () => {
    const directory = await write("fresh");
    await Promise.all(["summary.json", "metrics.jsonl"].map((file) => rm(join(directory, file))));
    expect((await readRun(directory)).records).toEqual([]);
  });

  it("names a directory that does not exist", async () => {
    await expect(readRun(join(scratch, "nowhere"))).rejects.toThrow(MissingRunError);
    await expect(readRun(join(scratch, "nowhere"))).rejects.toThrow(/nowhere/);
  });

  it("names what is foreign or damaged", async () => {
    await expect(readRun(scratch)).rejects.toThrow(ForeignRunError);
    await expect(readRun(scratch)).rejects.toThrow(/no config\.json/);

    const file = join(scratch, "file");
    await writeFile(file, "");
    await expect(readRun(file)).rejects.toThrow(/not a directory/);

    const config = await write("bad-config");
    await writeFile(join(config, "config.json"), JSON.stringify({ config: { task: { modulus: "many" } } }));
    await expect(readRun(config)).rejects.toThrow(
      /task\.modulus: got "many" from .*config\.json, must be a number/,
    );

    const other = await write("other-config");
    await writeFile(join(other, "config.json"), "[1]");
    await expect(readRun(other)).rejects.toThrow(/expected a JSON object/);

    const middle = await write("bad-line");
    await writeFile(
      join(middle, "metrics.jsonl"),
      `${JSON.stringify(run.records[0])}\n{"step": 1,\n${JSON.stringify(run.records[1])}\n`,
    );
    await expect(readRun(middle)).rejects.toThrow(/metrics\.jsonl:2: not JSON/);

    const record = await write("bad-record");
    await writeFile(join(record, "metrics.jsonl"), '{"step": 1}\n');
    await expect(readRun(record)).rejects.toThrow(/metrics\.jsonl:1: not an evaluation record/);

    const summary = await write("bad-summary");
    await writeFile(join(summary, "summary.json"), '{"schema": "other/1"}');
    await expect(readRun(summary)).rejects.toThrow(/schema is "other\/1"/);
  });
});
