/** What a user pays besides arithmetic: memory of a worker, start-up, size of the package. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { instantiateTransformer } from "../dist/core/transformer.js";
import { transformerShape } from "../dist/training/model.js";
import { PRESETS, STEPS } from "./configs.mjs";

const pathOf = (file) => fileURLToPath(new URL(file, import.meta.url));
const MIB = 2 ** 20;

const ADAMW_BYTES = 8;
const WORKER_BYTES = 64 * MIB;

/** Bytes that one worker may take: parameters and moments, 1.5 times the activations of a micro-batch, 64 MiB. */
function allowedBytes(config, core) {
  const shape = transformerShape(config);
  const { memoryBytes, parameterCount } = instantiateTransformer(core, shape, { optimizer: "none" });
  // Without an optimiser there are the parameters, once more as packed for the products, and the activations.
  const activations = memoryBytes - 2 * 4 * parameterCount;
  return parameterCount * (4 + ADAMW_BYTES) + 1.5 * activations + WORKER_BYTES;
}

export const memoryBenches = ([{ label, math, simd, core }]) =>
  Object.entries({ ...PRESETS, "d=256 T=95": STEPS["d=256 T=95 B=64"].config }).map(([name, config]) => ({
    ...{ group: "memory", name, build: label },
    measure() {
      const { status, stdout, stderr } = spawnSync(
        process.execPath,
        [pathOf("memory.mjs"), JSON.stringify({ ...config, math })],
        { encoding: "utf8", env: { ...process.env, EPIGROK_SIMD: String(simd) } },
      );
      if (status !== 0) throw new Error(`memory.mjs failed:\n${stderr}`);
      const { processBytes, controllerBytes } = JSON.parse(stdout);
      const max = allowedBytes(config, core) / MIB;
      return [
        { what: "one worker", value: (processBytes - controllerBytes) / MIB, unit: "MiB", max },
        { what: "with the controller's copy of the state", value: processBytes / MIB, unit: "MiB" },
      ];
    },
  }));

const STARTS = 10;
const MAX_STARTUP_MS = 500;

/** Milliseconds from the start of `epigrok run` until first-step.mjs tells that a worker has done a training step. */
function startUp({ math, simd }) {
  const out = mkdtempSync(join(tmpdir(), "epigrok-bench-"));
  const run = [
    "run",
    "--preset",
    "quick",
    "--math",
    math,
    "--simd",
    String(simd),
    "--out",
    join(out, "run"),
    "--quiet",
  ];
  const preload = new URL("first-step.mjs", import.meta.url).href;
  return new Promise((resolve, reject) => {
    const started = performance.now();
    let milliseconds;
    let errors = "";
    const child = spawn(process.execPath, ["--import", preload, pathOf("../dist/cli.js"), ...run], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout.once("data", (text) => {
      if (String(text).startsWith("first step")) milliseconds = performance.now() - started;
      child.kill("SIGKILL");
    });
    child.stderr.on("data", (text) => {
      errors += text;
    });
    child.once("error", reject);
    child.once("close", () => {
      rmSync(out, { recursive: true, force: true });
      if (milliseconds === undefined)
        reject(new Error(`epigrok run ended before its first step:\n${errors}`));
      else resolve(milliseconds);
    });
  });
}

export const startUpBenches = ([build]) => [
  {
    ...{ group: "start-up", name: "epigrok run, to the end of the first step", build: build.label },
    async measure() {
      const starts = [];
      for (let i = 0; i < STARTS; i++) starts.push(await startUp(build));
      starts.sort((a, b) => a - b);
      const median = (starts[STARTS / 2 - 1] + starts[STARTS / 2]) / 2;
      return [
        { what: "median of 10", value: median, unit: "ms", max: MAX_STARTUP_MS },
        { what: "fastest of 10", value: starts[0], unit: "ms" },
      ];
    },
  },
];

const MAX_PACKAGE_KB = 1000;
const MAX_WASM_KB = 200;
const WASM = {
  fast: "../build/core.fma.wasm",
  strict: "../build/core.simd.wasm",
  "fast wide": "../build/core.fma256.wasm",
  "strict wide": "../build/core.simd256.wasm",
};

export const sizeBenches = () => [
  {
    ...{ group: "size", name: "package, unpacked", build: "both" },
    measure() {
      const pack = ["pack", "--dry-run", "--json", "--ignore-scripts"];
      const { status, stdout, stderr } = spawnSync("npm", pack, { cwd: pathOf(".."), encoding: "utf8" });
      if (status !== 0) throw new Error(`npm ${pack.join(" ")} failed:\n${stderr}`);
      return [{ value: JSON.parse(stdout)[0].unpackedSize / 1000, unit: "kB", max: MAX_PACKAGE_KB }];
    },
  },
  ...Object.entries(WASM).map(([label, file]) => ({
    ...{ group: "size", name: "WebAssembly", build: label },
    measure: () => [{ value: statSync(pathOf(file)).size / 1000, unit: "kB", max: MAX_WASM_KB }],
  })),
];
