/** The choice between 128 and 256 bits: what is allowed, what is said, and that the numbers do not depend on it. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { loadCoreModule } from "../src/core/build.ts";
import { wideObstacle } from "../src/core/known-answer.ts";
import { enableWideSimd, obstacleToWideSimd, setSimdChoice, simdChoice } from "../src/core/simd.ts";
import { UsageError } from "../src/errors.ts";
import { epigrok } from "./fixtures/cli.ts";
import { FRESH_ASSIGNMENTS } from "./fixtures/config.ts";
import { resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

// Tests of a version of Node set it for all files.
delete process.env.EPIGROK_SIMD;

const root = temporaryDirectory();
const merges = process.arch === "x64" && Number.parseInt(process.versions.v8, 10) >= 13;
const tiny = [
  ...FRESH_ASSIGNMENTS.flatMap((assignment) => ["--set", assignment]),
  ...[
    "--set",
    "task.modulus=5",
    "--set",
    "task.trainTasks=3",
    "--set",
    "model.dModel=16",
    "--set",
    "model.nLayers=1",
  ],
  ...["--set", "training.steps=20", "--set", "evaluation.every=10", "--set", "evaluation.prompts=8"],
  ...["--members", "2", "--no-posterior", "--json"],
];

afterEach(() => {
  vi.unstubAllEnvs();
  setSimdChoice("auto");
});

describe("the choice of a width", () => {
  it("comes from the variable EPIGROK_SIMD, which is no setting of the configuration", async () => {
    const { code, stdout } = await epigrok(["run", ...tiny, "--out", join(root, "variable")], {
      env: { EPIGROK_SIMD: "128" },
    });
    expect(code).toBe(0);
    expect(JSON.parse(stdout).simd).toBe(128);
  });

  it("is refused by name, with what is allowed, before anything runs", async () => {
    for (const [args, env, message] of [
      [["--simd", "512"], {}, /simd.*512.*auto.*128.*256/s],
      [[], { EPIGROK_SIMD: "wide" }, /EPIGROK_SIMD: got wide, must be one of auto, 128, 256/],
    ] as const) {
      const { code, stderr } = await epigrok(["run", ...tiny, "--out", join(root, "refused"), ...args], {
        env,
      });
      expect(stderr).toMatch(message);
      expect(code).toBe(2);
    }
  });

  it("takes auto unless told otherwise", () => {
    expect(simdChoice()).toBe("auto");
    setSimdChoice("128");
    expect(simdChoice()).toBe("128");
  });

  it.skipIf(merges)("says why 256 bits are not to be had, and takes 128 instead with auto", async () => {
    expect(enableWideSimd()).toBe(false);
    expect(obstacleToWideSimd()).toMatch(/Node 24 or later is needed|no engine is known/);
    await expect(loadCoreModule("strict", "256")).rejects.toThrow(UsageError);
    await expect(loadCoreModule("strict", "256")).rejects.toThrow(
      /simd: got 256, must be 128 or auto here: /,
    );
    expect(await loadCoreModule("strict", "auto")).toMatchObject({
      simd: 128,
      narrowBecause: obstacleToWideSimd(),
    });
    expect(await loadCoreModule("strict", "128")).toMatchObject({ simd: 128, narrowBecause: null });
    const { code, stderr } = await epigrok(["run", ...tiny, "--out", join(root, "wide"), "--simd", "256"]);
    expect(stderr).toMatch(/simd: got 256, must be 128 or auto here/);
    expect(code).toBe(2);
  });

  it.runIf(merges)("takes 256 bits, and the bytes are those of 128", async () => {
    const hashes = [];
    for (const simd of ["128", "256", "auto"]) {
      const out = join(root, simd);
      const { code, stdout, stderr } = await epigrok(["run", ...tiny, "--out", out, "--simd", simd]);
      expect(stderr).not.toMatch(/epigrok:/);
      expect(code).toBe(0);
      expect(JSON.parse(stdout).simd).toBe(simd === "128" ? 128 : 256);
      const environment = JSON.parse(readFileSync(join(out, "environment.json"), "utf8"));
      expect(environment.simd).toBe(simd === "128" ? 128 : 256);
      hashes.push(resultHashes(out), environment.wasmSha256);
    }
    expect(hashes.slice(2, 4)).toEqual(hashes.slice(0, 2));
    expect(hashes.slice(4)).toEqual(hashes.slice(0, 2));
  });

  it.runIf(merges)("leaves the flags of a process alone that does not ask", () => {
    const program = `import { loadCoreModule } from ${JSON.stringify(join(process.cwd(), "dist/core/build.js"))};
      const { simd, narrowBecause } = await loadCoreModule("fast");
      console.log(JSON.stringify({ simd, narrowBecause }));`;
    const run = (...flags: string[]) =>
      JSON.parse(
        spawnSync(process.execPath, [...flags, "--input-type=module", "--eval", program], {
          encoding: "utf8",
        }).stdout,
      );
    expect(run()).toEqual({ simd: 128, narrowBecause: expect.stringMatching(/revectorize is off/) });
    expect(run("--experimental-wasm-revectorize")).toEqual({ simd: 256, narrowBecause: null });
  });
});

describe("the known-answer test", () => {
  it.runIf(merges)("is left to another thread, and made here where that has no answer", () => {
    const program = (compare: string) => `
      import { compareAhead, loadCoreModule } from ${JSON.stringify(join(process.cwd(), "dist/core/build.js"))};
      let asked = "";
      compareAhead("fast", async (wide, narrow) => { asked = wide.simd + " " + narrow.simd; ${compare}; });
      const { simd, narrowBecause } = await loadCoreModule("fast");
      console.log(JSON.stringify({ simd, narrowBecause, asked }));`;
    const run = (compare: string) =>
      JSON.parse(
        spawnSync(
          process.execPath,
          ["--experimental-wasm-revectorize", "--input-type=module", "--eval", program(compare)],
          { encoding: "utf8" },
        ).stdout,
      );
    const asked = "256 128";
    expect(run("return null")).toEqual({ simd: 256, narrowBecause: null, asked });
    expect(run('return "it differs"')).toEqual({ simd: 128, narrowBecause: "it differs", asked });
    expect(run('throw new Error("dead")')).toEqual({ simd: 256, narrowBecause: null, asked });
  });

  it("refuses a build that gives other bytes", async () => {
    const [strict, fast] = await Promise.all([
      loadCoreModule("strict", "128"),
      loadCoreModule("fast", "128"),
    ]);
    expect(fast.math).toBe("fast");
    expect(wideObstacle(fast, strict)).toMatch(/gave other bytes/);
  });
});
