/** What a full disk, or a file that may not grow, leaves: what was there before, and a run that goes on later. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { UsageError } from "../src/errors.ts";
import { runEnsemble } from "../src/run/run.ts";
import { runBytes } from "../src/run/space.ts";
import { appendWhole, isTemporary, writeWhole } from "../src/run/write-file.ts";
import { fakeConfig, fakePool } from "./fixtures/fake-trainer.ts";
import { noSmallDisk, smallDisk } from "./fixtures/small-disk.ts";
import { resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
let count = 0;
const fresh = () => join(root, `d${count++}`);

/** Takes all of a disk but so many bytes. */
function fill(disk: string, leave: number): string {
  const { bavail, bsize } = statfsSync(disk);
  const filler = join(disk, "filler");
  writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - leave)));
  return filler;
}

const mebibytes = (n: number) => Buffer.alloc(n * 2 ** 20, "x");

describe("a file", () => {
  it("is replaced whole, keeps its mode, and leaves nothing beside it", async () => {
    const folder = fresh();
    mkdirSync(folder);
    const path = join(folder, "a");
    writeFileSync(path, "old", { mode: 0o640 });
    await writeWhole(path, mebibytes(3));
    expect(readFileSync(path).equals(mebibytes(3))).toBe(true);
    expect(readdirSync(folder)).toEqual(["a"]);
  });

  it.skipIf(process.platform === "win32")("is as it was if it may not grow as far as that", () => {
    const folder = fresh();
    mkdirSync(folder);
    const module = fileURLToPath(new URL("../dist/run/write-file.js", import.meta.url));
    for (const [name, call] of [
      ["whole", "writeWhole(path, 'x'.repeat(100000))"],
      ["grown", "appendWhole(path, 'x'.repeat(100000))"],
    ]) {
      const path = join(folder, name);
      writeFileSync(path, "old");
      const script = `import { appendWhole, writeWhole } from ${JSON.stringify(`file://${module}`)};
        const path = ${JSON.stringify(path)};
        await ${call}.then(() => process.exit(1), (error) => console.log(error.message));`;
      const limited = `ulimit -f 16; exec "$0" --input-type=module -e "$1"`;
      const { status, stdout } = spawnSync("bash", ["-c", limited, process.execPath, script], {
        encoding: "utf8",
      });
      expect({ status, stdout }).toEqual({
        status: 0,
        stdout: expect.stringContaining(`cannot write ${path}: EFBIG`),
      });
      expect(readFileSync(path, "utf8")).toBe("old");
    }
    expect(readdirSync(folder).sort()).toEqual(["grown", "whole"]);
  });

  it("that is none is written to: what takes no bytes says so, and is still there", async () => {
    await writeWhole("/dev/null", "x");
    await expect(writeWhole("/dev/full", "x")).rejects.toThrow("cannot write /dev/full: ENOSPC");
    expect(execFileSync("stat", ["-c", "%F", "/dev/null"], { encoding: "utf8" })).toMatch(/^character/);
  });

  it("is not written over a directory, which is named", async () => {
    const folder = fresh();
    mkdirSync(folder);
    await expect(writeWhole(folder, "x")).rejects.toThrow(`cannot write ${folder}: EISDIR`);
    await expect(appendWhole(join(folder, "a", "b"), "x")).rejects.toThrow(/cannot write .*ENOENT/);
  });
});

describe.skipIf(noSmallDisk !== null)(`on a small disk${noSmallDisk ? ` (${noSmallDisk})` : ""}`, () => {
  it("a file is as it was when the disk is full in the middle of it", async () => {
    const disk = smallDisk("64k");
    const [whole, grown] = [join(disk, "whole"), join(disk, "grown")];
    writeFileSync(whole, "old");
    writeFileSync(grown, "old");
    for (const kibibytes of [61, 64, 200]) {
      const data = "x".repeat(kibibytes * 1024);
      await expect(writeWhole(whole, data)).rejects.toThrow(`cannot write ${whole}: ENOSPC`);
      await expect(appendWhole(grown, data)).rejects.toThrow(`cannot write ${grown}: ENOSPC`);
    }
    expect([readFileSync(whole, "utf8"), readFileSync(grown, "utf8")]).toEqual(["old", "old"]);
    expect(readdirSync(disk).sort()).toEqual(["grown", "whole"]);
    await writeWhole(whole, "x".repeat(40 * 1024));
  });

  const config = fakeConfig(3, {
    evaluation: { every: 2, savePredictions: "all" },
    checkpoints: { keep: 5 },
  });

  it("a run that does not fit is refused before anything is written", async () => {
    const disk = smallDisk("40k");
    const out = join(disk, "deep", "run");
    const refused = runEnsemble(config, { out, workers: 2, createPool: () => fakePool() });
    await expect(refused).rejects.toThrow(/needs about [\d.]+ MiB of disk in .*run, where 0\.0 MiB are free/);
    await expect(refused).rejects.toBeInstanceOf(UsageError);
    expect(readdirSync(disk)).toEqual([]);
  });

  it("a run fits where it is said to, and not with a tenth less room", async () => {
    const disk = smallDisk("4m");
    await runEnsemble(config, { out: join(disk, "run"), workers: 2, createPool: () => fakePool() });
    const { blocks, bavail, bsize } = statfsSync(disk);
    const taken = (blocks - bavail) * bsize;
    expect(runBytes(config)).toBeGreaterThan(taken * 0.9);
    expect(runBytes(config)).toBeLessThan(taken * 1.6);
  });

  it.each([0, 1, 3, 5, 9, 14, 20, 40])(
    "a run whose disk is filled up to %i KiB goes on, when there is room, to the bytes of an undisturbed one",
    async (leave) => {
      const undisturbed = fresh();
      await runEnsemble(config, { out: undisturbed, workers: 2, createPool: () => fakePool() });
      const disk = smallDisk("2m");
      const out = join(disk, "run");
      let filler = "";
      const evaluated = ({ step }: { step: number }) => {
        if (step === 4) filler = fill(disk, leave * 1024);
      };
      const full = runEnsemble(config, {
        ...{ out, workers: 2, createPool: () => fakePool() },
        observer: { evaluated },
      });
      await expect(full).rejects.toThrow(/cannot write .*ENOSPC/);
      expect(readdirSync(out, { recursive: true, encoding: "utf8" }).filter(isTemporary)).toEqual([]);
      rmSync(filler);
      const mode = "resume" as const;
      const resumed = await runEnsemble(config, { out, mode, workers: 2, createPool: () => fakePool() });
      expect(resumed.status).toBe("finished");
      expect(resultHashes(out)).toEqual(resultHashes(undisturbed));
    },
  );
});
