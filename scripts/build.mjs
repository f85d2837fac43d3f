/**
 * Builds the Wasm files of asconfig.json in one thread and dist/ in another.
 *
 *   node scripts/build.mjs [wasm | typescript]     (both without)
 */
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
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

const build = { wasm: buildWasm, typescript: buildTypeScript };

if (isMainThread) {
  const [only] = process.argv.slice(2);
  for (const part of only ? [only] : Object.keys(build))
    new Worker(new URL(import.meta.url), { workerData: part }).on("error", (error) => {
      console.error(error.message);
      process.exitCode = 1;
    });
} else {
  await build[workerData]();
}
