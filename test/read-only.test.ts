/** What takes no files is named, with the reason, before anything is computed. */
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_SETTINGS } from "../src/analysis/posteriors.ts";
import { savePosterior } from "../src/analysis/saved-posteriors.ts";
import { UsageError } from "../src/errors.ts";
import { exportData, runEnsemble, runSweep, writeFigures, writeReport } from "../src/index.ts";
import { requireTheoryDirectory } from "../src/report/theory/report.ts";
import { makeDefaultRunDirectory, RUNS } from "../src/run/directory.ts";
import { fakeConfig, fakePool } from "./fixtures/fake-trainer.ts";
import { noReadOnly, readOnly } from "./fixtures/small-disk.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const run = join(temporaryDirectory(), "run");
const config = fakeConfig(2);
const train = (out: string) => runEnsemble(config, { out, workers: 1, createPool: () => fakePool() });
const choice = { steps: "all", checkpoints: 1, members: 1, methods: ["dropout"] } as const;

describe.skipIf(noReadOnly)("a folder that takes no files", () => {
  let closed: string;
  beforeAll(async () => {
    closed = readOnly();
    await train(run);
  });

  it.each<[string, (path: string) => unknown]>([
    ["a run", train],
    ["a sweep", (out) => runSweep({ set: { training: { steps: 1 } } }, { out, workers: 1 })],
    ["a table", (out) => exportData(run, { format: "csv", out: join(out, "t.csv") })],
    ["event files", (out) => exportData(run, { format: "tensorboard", out })],
    ["arrays", (out) => exportData(run, { format: "npz", out: join(out, "a.npz") })],
    ["figures", (out) => writeFigures(run, out)],
    ["a study", requireTheoryDirectory],
  ])("of %s", async (_, write) => {
    for (const path of [closed, join(closed, "a"), join(closed, "a", "b")]) {
      const refused = await (async () => write(path))().catch((error: unknown) => error as Error);
      expect(refused).toBeInstanceOf(UsageError);
      expect((refused as Error).message).toMatch(
        /^cannot write to .*: (EROFS: read-only|EACCES: permission)/,
      );
      expect((refused as Error).message).toContain(`cannot write to ${path}`);
    }
  });

  it("of a report and a posterior, which are put into a folder that is there", async () => {
    const path = join(closed, "x");
    await expect(writeReport([run], { out: path })).rejects.toThrow(`cannot write to ${closed}: E`);
    const saved = savePosterior(run, path, { ...choice, settings: DEFAULT_SETTINGS });
    await expect(saved).rejects.toThrow(`save: ${path}: cannot write to ${closed}: E`);
  });

  it("of a run without a name of its own", () => {
    const before = process.cwd();
    process.chdir(closed);
    try {
      expect(() => makeDefaultRunDirectory("quick")).toThrow(`cannot write to ${RUNS}`);
    } finally {
      process.chdir(before);
    }
  });
});
