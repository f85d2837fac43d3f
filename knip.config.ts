/**
 * What nothing uses. `knip` takes tests and benchmarks as users, so an export has to be imported somewhere;
 * `knip --production` does not, so code that only tests use is found (an export for the tests' sake is not).
 */
const production = process.argv.includes("--production");

export default {
  entry: [
    "src/index.ts!",
    "src/posterior/index.ts!",
    "src/theory/index.ts!",
    "src/cli.ts!",
    "src/pool/worker.ts!",
    "src/analysis/worker.ts!",
    "src/run/heartbeat-thread.ts!",
    "src/serve/page-thread.ts!",
    "src/browser/page.ts!",
    "src/browser/worker.ts!",
    "assembly/index.ts!",
    "test/**/*.test.ts",
    "test/fixtures/*-worker.mjs",
    "benchmarks/*.mjs",
    "benchmarks/peers/**/*.mjs",
    "experiments/**/*.mjs",
    "examples/*.mjs",
  ],
  project: ["{src,assembly}/**/*.ts!", "{test,benchmarks,experiments,examples}/**/*.{ts,mjs}"],
  prettier: { config: ["assembly/.prettierrc.json"] },
  // Types are exported with the functions that take or give them.
  ignoreExportsUsedInFile: production || { interface: true, type: true },
  // A disk that can be full and a pipe, for the tests; cores that a benchmark keeps to.
  ignoreBinaries: ["mount", "umount", "mkfifo", "taskset"],
  // The peer's own package.json names them; what is bundled into the page, installed packages do not need.
  ignoreDependencies: [
    ...["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"],
    ...(production ? ["uplot"] : []),
  ],
};
