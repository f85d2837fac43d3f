/**
 * Builds the Wasm files of asconfig.json in one thread and dist/ in another.
 *
 *   node scripts/build.mjs [wasm | typescript]     (both without)
 */
import { readFileSync } from "node:fs";
import { isMainThread, Worker, workerData } from "node:worker_threads";

/** One after the other: the compiler is three times as fast once it is warm. */
async function buildWasm() {
  const { main } = await import("assemblyscript/asc");
  for (const target of Object.keys(JSON.parse(readFileSync("asconfig.json", "utf8")).targets)) {
    const { error, stderr } = await main(["assembly/index.ts", "--target", target]);
    if (error) throw new Error(`${target}: ${error.message}\n${stderr}`);
  }
}

/** The second program, whose JavaScript has no comments as the first's declarations do, takes over all that is parsed. */
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
  const { fileNames, options, errors } = ts.getParsedCommandLineOfConfigFile("tsconfig.build.json", {}, host);
  refuse(errors);
  const declarations = ts.createProgram(fileNames, { ...options, emitDeclarationOnly: true });
  refuse(ts.getPreEmitDiagnostics(declarations));
  refuse(declarations.emit().diagnostics);
  const scriptOptions = { ...options, declaration: false, removeComments: true, noCheck: true };
  const scripts = ts.createProgram(fileNames, scriptOptions, undefined, declarations);
  refuse(scripts.emit().diagnostics);
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
