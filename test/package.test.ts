/** The package as a user installs it: what the tarball holds, its three entry points, and their types. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = resolve(import.meta.dirname, "..");
const project = temporaryDirectory();
const modules = join(project, "node_modules");

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Uses the three entry points as a strict program would; prints one line. */
const consumer = `
import { type Config, createConfig, createTransformer, decompose, detectGrokking, exactPredictive, runEnsemble, theory } from "epigrok";
import { fitLaplace, type Posterior, stream } from "epigrok/posterior";
import { peakTimes, spectral } from "epigrok/theory";

const config: Config = createConfig({ task: { trainTasks: 16 } }, { preset: "quick" });
const run: (config: Config, options: { out: string; workers: number }) => Promise<{ status: "finished" | "stopped" }> = runEnsemble;

const model = await createTransformer(
  { dVocab: 5, dModel: 8, nHeads: 2, nLayers: 1, dMlp: 8, nCtx: 3, actFn: "relu", tiedEmbeddings: false },
  { math: "strict", curvature: true, kronecker: true },
);
const rng = stream(1, 0, "init", 0);
const parameters = Float32Array.from({ length: model.parameterCount }, () => rng.next() / 2 ** 32);
model.setParameters(parameters);
const batch = {
  tokens: Int32Array.of(1, 2, 3, 2, 4, 1),
  batchSize: 2,
  length: 3,
  positions: Int32Array.of(2),
  targets: Int32Array.of(1, 2),
};
const posterior: Posterior = fitLaplace(model, parameters, [batch]);
const draws: Float32Array[] = posterior.predict(model, batch, { nSamples: 4, rng });
const all = Float32Array.from(draws.flatMap((draw) => Array.from(draw)));
const { mutualInformation }: { mutualInformation: Float64Array } = decompose(all, { members: 4, prompts: 2, classes: 5 });
const exact: Float64Array = exactPredictive({
  ...{ modulus: 5, variables: 1, contextNoise: 0, prior: "generalising", inputs: [[1]], outputs: [2], query: [2] },
} as const);
const phase: string = detectGrokking([]).phase;
const peak: { residual: number; elbo: number } = peakTimes({ lambda: 1, u0: 1 });
// @ts-expect-error what no entry point exports is not there
import { RunDirectory } from "epigrok";
const text: string = [config.seed, typeof run, mutualInformation.length, exact.indexOf(1), phase].join(" ");
console.log(text, spectral(1, 1).F === theory.spectral(1, 1).F, peak.residual >= 0);
`;

const tsconfig = {
  compilerOptions: {
    target: "ES2023",
    types: ["node"],
    strict: true,
    skipLibCheck: false,
    noEmitOnError: true,
  },
  files: ["consumer.ts"],
};

/** The compiler's messages; empty if there are none. */
function compile(options: Record<string, unknown>): string {
  const path = join(project, "tsconfig.json");
  const compilerOptions = { ...tsconfig.compilerOptions, ...options };
  writeFileSync(path, JSON.stringify({ ...tsconfig, compilerOptions }));
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  try {
    return execFileSync(process.execPath, [tsc, "-p", path], { encoding: "utf8" });
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

/** As npm would, without a network: the tarball unpacked, its dependencies linked to those of this repository. */
beforeAll(() => {
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const pack = ["pack", "--json", "--ignore-scripts", "--offline", "--pack-destination", project];
  const [{ filename }] = JSON.parse(
    execFileSync(npm, pack, { cwd: root, encoding: "utf8", shell: process.platform === "win32" }),
  );
  execFileSync("tar", ["-xzf", filename], { cwd: project });
  mkdirSync(modules, { recursive: true });
  renameSync(join(project, "package"), join(modules, "epigrok"));
  for (const name of [...Object.keys(manifest.dependencies), "@types/node"]) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(root, "node_modules", name), join(modules, name), "junction");
  }
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  writeFileSync(join(project, "consumer.ts"), consumer);
});

describe("the installed package", () => {
  it("type-checks in a strict program, whose compiled form runs", () => {
    expect(compile({ module: "nodenext", moduleResolution: "nodenext" })).toBe("");
    const line = execFileSync(process.execPath, ["consumer.js"], { cwd: project, encoding: "utf8" });
    expect(line).toBe("0 function 2 4 untrained true true\n");
  }, 180_000);

  it("type-checks under a bundler's resolution", () => {
    expect(compile({ module: "esnext", moduleResolution: "bundler", noEmit: true })).toBe("");
  }, 180_000);

  it("brings its command and its presets", () => {
    const cli = join(modules, "epigrok", manifest.bin.epigrok);
    const presets = execFileSync(process.execPath, [cli, "presets"], { cwd: project, encoding: "utf8" });
    expect(presets).toContain("quick-memorise");
  });

  it("holds nothing of sources that are gone", () => {
    const compiled = readdirSync(join(modules, "epigrok", "dist"), { recursive: true, encoding: "utf8" });
    const sources = compiled.filter((name) => name.endsWith(".js")).map((name) => name.replace(/js$/, "ts"));
    expect(sources.filter((name) => !existsSync(join(root, "src", name)))).toEqual([]);
  });

  it("shows nothing but the entry points", () => {
    const attempt = "await import('epigrok/dist/run/directory.js')";
    const run = () =>
      execFileSync(process.execPath, ["--input-type=module", "-e", attempt], { cwd: project, stdio: "pipe" });
    expect(run).toThrow("ERR_PACKAGE_PATH_NOT_EXPORTED");
  });
});
