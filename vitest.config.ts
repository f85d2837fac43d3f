import { defineConfig } from "vitest/config";

// As the command line does: 256 bits wide where the engine can, so that each version of Node tests what it runs.
const [v8] = process.versions.v8.split(".").map(Number);
const wide = v8 >= 13 && process.env.EPIGROK_SIMD !== "128";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    execArgv: wide ? ["--experimental-wasm-revectorize"] : [],
    maxWorkers: 2,
    testTimeout: 60_000,
  },
});
