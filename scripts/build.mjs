/**
 * Builds the Wasm files of asconfig.json in one thread and dist/ in another, each unless its sources and what was made of
 * them are as they were after the last build.
 *
 *   node scripts/build.mjs [wasm | typescript]     (both without)
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { isMainThread, Worker, workerData } from "node:worker_threads";

/** One after the other: the compiler is three times as fast once it is warm. */
async function buildWasm() {
  const { main } = await import("assemblyscript/asc");
  for (const target of Object.keys(JSON.parse(readFileSync("asconfig.json", "utf8")).targets)) {
    const { error, stderr } = await main(["assembly/index.ts", "--target", target]);
    if (error) throw new Error(`${target}: ${error.message}\n${stderr}`);
  }
}

/**
 * The second program, whose JavaScript has no comments as the first's declarations do, takes over all that is parsed.
 * What dist/ has besides is of sources that are gone, and would be packed.
 */
async function buildTypeScript() {
  const { default: ts } = await import("typescript");
  const host = {
    ...ts.createCompilerHost({}),
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: (diagnostic) => refuse([diagnostic]),
  };
  const refuse = (diagnostics) => {
    if (diagnostics.length > 0) throw new Error(ts.formatDiagnostics(diagnostics, host));
  };
  const { fileNames, options, errors } = ts.getParsedCommandLineOfConfigFile(
    "tsconfig.build.json",
    { listEmittedFiles: true },
    host,
  );
  refuse(errors);
  const declarations = ts.createProgram(fileNames, { ...options, emitDeclarationOnly: true });
  refuse(ts.getPreEmitDiagnostics(declarations));
  const types = declarations.emit();
  refuse(types.diagnostics);
  const scriptOptions = { ...options, declaration: false, removeComments: true, noCheck: true };
  const scripts = ts.createProgram(fileNames, scriptOptions, undefined, declarations);
  const code = scripts.emit();
  refuse(code.diagnostics);
  const written = new Set([...types.emittedFiles, ...code.emittedFiles].map((path) => resolve(path)));
  for (const name of readdirSync(options.outDir, { recursive: true })) {
    const path = resolve(join(options.outDir, name));
    if (statSync(path).isFile() && !written.has(path)) rmSync(path);
  }
}

const targets = Object.values(JSON.parse(readFileSync("asconfig.json", "utf8")).targets);
/** What each part is made of, besides the compilers and this script, and what it makes. */
const PARTS = {
  wasm: [buildWasm, "asconfig.json", "assembly", ...targets.map(({ outFile }) => outFile)],
  typescript: [buildTypeScript, "tsconfig.json", "tsconfig.build.json", "package.json", "src", "dist"],
};
const COMMON = ["scripts/build.mjs", "node_modules/.package-lock.json"];

/** Of names and contents, a few megabytes. */
function fingerprint(paths) {
  const hash = createHash("sha256");
  for (const path of paths.filter((path) => existsSync(path))) {
    const names = statSync(path).isFile() ? [""] : readdirSync(path, { recursive: true }).sort();
    for (const file of names.map((name) => join(path, name)))
      if (statSync(file).isFile()) hash.update(`${file}\0`).update(readFileSync(file));
  }
  return hash.digest("hex");
}

if (isMainThread) {
  const [only] = process.argv.slice(2);
  for (const part of only ? [only] : Object.keys(PARTS))
    new Worker(new URL(import.meta.url), { workerData: part }).on("error", (error) => {
      console.error(error.message);
      process.exitCode = 1;
    });
} else {
  const [build, ...files] = PARTS[workerData];
  const record = `build/${workerData}.sha256`;
  const now = () => fingerprint([...COMMON, ...files]);
  if (!existsSync(record) || readFileSync(record, "utf8") !== now()) {
    await build();
    mkdirSync("build", { recursive: true });
    writeFileSync(record, now());
  }
}
