/** Results over checkpoints name what they were made of: one of other checkpoints is not taken for theirs. */
import { appendFileSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { PosteriorRecord } from "../src/analysis/posterior-job.ts";
import { DEFAULT_SETTINGS, runPosteriors } from "../src/analysis/posteriors.ts";
import { readPosteriors, readSpectra } from "../src/analysis/records.ts";
import { runSpectra } from "../src/analysis/spectra.ts";
import { loadCoreModule } from "../src/core/build.ts";
import type { ParameterInfo } from "../src/core/layout.ts";
import { instantiateTransformer } from "../src/core/transformer.ts";
import { writeReport } from "../src/report/report.ts";
import { encodeCheckpoint, readCheckpoint } from "../src/run/checkpoints.ts";
import { checkpointFile } from "../src/run/files.ts";
import { runHash } from "../src/run/identity.ts";
import { encodeLine } from "../src/run/json.ts";
import { runEnsemble } from "../src/run/run.ts";
import { transformerShape } from "../src/training/model.ts";
import { fakeConfig, fakePool } from "./fixtures/fake-trainer.ts";
import { dropLastLine, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
let count = 0;
const config = fakeConfig(4, { evaluation: { every: 5 }, checkpoints: { schedule: "evaluations" } });
const run = runHash(config);
const whole = join(root, "whole");
let table: readonly ParameterInfo[];
beforeAll(async () => {
  await runEnsemble(config, { out: whole, workers: 2, createPool: () => fakePool() });
  const core = await loadCoreModule(config.math);
  table = instantiateTransformer(core, transformerShape(config), { optimizer: "none" }).parameters;
});

function copy(): string {
  const directory = join(root, `copy-${count++}`);
  cpSync(whole, directory, { recursive: true });
  return directory;
}

/** As it is when two of four members have come to step 20. */
function unfinished(): string {
  const directory = copy();
  rmSync(join(directory, "summary.json"));
  for (const member of [2, 3]) rmSync(join(directory, checkpointFile({ step: 20, member })));
  const path = join(directory, "metrics.jsonl");
  dropLastLine(path);
  return directory;
}

const settings = { ...DEFAULT_SETTINGS, samples: 4, data: 16 };
const fitted = (directory: string, steps: "all" | number[] = "all") =>
  runPosteriors(directory, {
    methods: ["ensemble", "dropout"],
    steps,
    checkpoints: 0,
    members: 1,
    settings,
    workers: 1,
  });
const lines = (directory: string) =>
  readFileSync(join(directory, "posteriors.jsonl"), "utf8").trimEnd().split("\n");
const steps = (records: readonly PosteriorRecord[], method: string) =>
  records
    .filter((record) => record.method === method)
    .map(({ step }) => step)
    .sort((a, b) => a - b);

/** Another checkpoint of the same run. */
async function change(directory: string, key: { step: number; member: number }): Promise<void> {
  const parameters = await readCheckpoint(directory, key, table, null);
  parameters[0] += 1;
  writeFileSync(join(directory, checkpointFile(key)), encodeCheckpoint(key, parameters, table, run));
}

describe("an ensemble of a run that is not finished", () => {
  it("is of the steps that all members have reached, and comes to the others later", async () => {
    const directory = unfinished();
    const { records } = await fitted(directory);
    expect(steps(records, "ensemble")).toEqual([0, 5, 10, 15]);
    expect(steps(records, "dropout")).toEqual([0, 5, 10, 15, 20]);
    expect(records.filter(({ method }) => method === "ensemble").every(({ samples }) => samples === 4)).toBe(
      true,
    );
    await expect(fitted(directory, [20])).rejects.toThrow(
      "ensemble takes all members; at the steps chosen they have not",
    );

    const finished = copy();
    cpSync(join(directory, "posteriors.jsonl"), join(finished, "posteriors.jsonl"));
    const later = await fitted(finished);
    expect(steps(later.records, "ensemble")).toEqual([0, 5, 10, 15, 20]);
    expect(lines(finished)).toHaveLength(10);
  });

  it("that an early version recorded of too few members is left out, and made again", async () => {
    const directory = copy();
    await fitted(directory);
    const records = lines(directory).map((line) => JSON.parse(line) as PosteriorRecord);
    const old = records.map(({ inputs, ...record }) =>
      record.method === "ensemble" && record.step === 10 ? { ...record, samples: 1 } : record,
    );
    writeFileSync(
      join(directory, "posteriors.jsonl"),
      old.map((record) => encodeLine({ ...record, sha256: "0".repeat(64) }, run)).join(""),
    );
    expect(steps(await readPosteriors(directory), "ensemble")).toEqual([0, 5, 15, 20]);
    const page = readFileSync(await writeReport([directory]), "utf8");
    expect(page).not.toContain('class="missing"');
    expect(steps((await fitted(directory)).records, "ensemble")).toEqual([0, 5, 10, 15, 20]);
  });
});

describe("a result of a checkpoint that has changed since", () => {
  it("is computed again, and no other is", async () => {
    const directory = copy();
    await fitted(directory);
    await change(directory, { step: 10, member: 0 });
    expect(steps(await readPosteriors(directory), "dropout")).toEqual([0, 5, 15, 20]);
    expect(steps(await readPosteriors(directory), "ensemble")).toEqual([0, 5, 15, 20]);
    await change(directory, { step: 5, member: 3 });
    expect(steps(await readPosteriors(directory), "dropout")).toEqual([0, 5, 15, 20]);
    expect(steps(await readPosteriors(directory), "ensemble")).toEqual([0, 15, 20]);
    const before = lines(directory).length;
    await fitted(directory);
    expect(lines(directory)).toHaveLength(before + 3);
    expect(steps(await readPosteriors(directory), "ensemble")).toEqual([0, 5, 10, 15, 20]);
  });

  it("of curvature too", async () => {
    const directory = copy();
    const spectra = () =>
      runSpectra(directory, {
        ...{ operators: ["ggn"], steps: [5, 10], checkpoints: 0, members: 1, data: 16, k: 2, llc: false },
        workers: 1,
      });
    await spectra();
    await change(directory, { step: 10, member: 0 });
    expect((await readSpectra(directory)).map(({ step }) => step)).toEqual([5]);
    await spectra();
    expect((await readSpectra(directory)).map(({ step }) => step)).toEqual([5, 10]);
  });
});

describe("a report", () => {
  const sections = (page: string) => [...page.matchAll(/<h2>([^<]*)<\/h2>/g)].map(([, title]) => title);

  it("of a run with impossible, foreign and damaged results has all else, and says what is missing", async () => {
    const sound = copy();
    await fitted(sound);
    const expected = sections(readFileSync(await writeReport([sound]), "utf8"));
    const [first] = lines(sound).map((line) => JSON.parse(line));

    const damaged = copy();
    cpSync(join(sound, "posteriors.jsonl"), join(damaged, "posteriors.jsonl"));
    appendFileSync(join(damaged, "posteriors.jsonl"), '{"method":"swag"\n');
    const page = readFileSync(await writeReport([damaged]), "utf8");
    expect(page).toMatch(/class="missing">.*posteriors\.jsonl:11: not JSON/);
    expect(sections(page)).toEqual(expected);

    const impossible = copy();
    const sets = { unseenTasks: { ...first.sets.unseenTasks, mutualInformation: 7 } };
    const { sha256, run: _, ...record } = first;
    writeFileSync(join(impossible, "posteriors.jsonl"), encodeLine({ ...record, sets }, run));
    const other = readFileSync(await writeReport([impossible]), "utf8");
    expect(other).toMatch(
      /class="missing"><strong>Approximate posteriors<\/strong> is missing: .*mutualInformation/,
    );
    expect(sections(other)).toEqual(expected.filter((title) => title !== "Approximate posteriors"));
  });

  it("of a run with a damaged evaluation, summary and environment is written all the same", async () => {
    const directory = copy();
    for (const name of ["metrics.jsonl", "summary.json", "environment.json", "answers.jsonl"]) {
      const path = join(directory, name);
      const bytes = readFileSync(path);
      bytes[Math.floor(bytes.length / 2)] ^= 1;
      writeFileSync(path, bytes);
    }
    const page = readFileSync(await writeReport([directory]), "utf8");
    for (const name of ["metrics", "summary", "environment", "answers"])
      expect(page).toMatch(new RegExp(`class="missing">.*${name}\\.json`));
    expect(sections(page)).toContain("Through training");
    expect(page).not.toMatch(/NaN|undefined/);
  });
});
