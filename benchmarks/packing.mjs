/** How well runs of one member share worker threads in a sweep. */
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { runSweep } from "../dist/sweep/sweep.js";

const RUNS = 8;
const STEPS = 200;
const ROUNDS = 3;
const TWO_WORKERS_OVER_ONE = 1.9;

/** Seconds of a sweep from its definition to its results, files and the start of threads included. */
async function sweepSeconds(math, workers) {
  const folder = mkdtempSync(join(tmpdir(), "epigrok-bench-"));
  const set = { math, training: { steps: STEPS }, ensemble: { members: 1 } };
  try {
    const started = performance.now();
    const { finished } = await runSweep(
      { preset: "quick", set, axes: { seed: `0..${RUNS - 1}` } },
      { out: join(folder, "sweep"), workers },
    );
    if (finished !== RUNS) throw new Error(`${finished} of ${RUNS} runs are finished`);
    return (performance.now() - started) / 1000;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export const packingBenches = ([{ label, math }]) => [
  {
    ...{ group: "sweep", name: `quick, ${RUNS} runs of one member, ${STEPS} steps`, build: label },
    async measure() {
      const counts = [1, 2, 4, 8, 16].filter((workers) => workers <= availableParallelism());
      const seconds = new Map(counts.map((workers) => [workers, Number.POSITIVE_INFINITY]));
      // In turn, so that what the machine does meanwhile falls on all of them.
      for (let round = 0; round < ROUNDS; round++)
        for (const workers of counts)
          seconds.set(workers, Math.min(seconds.get(workers), await sweepSeconds(math, workers)));
      return counts.flatMap((workers) => [
        { what: `W=${workers}`, value: seconds.get(workers), unit: "s" },
        ...(workers === 1
          ? []
          : [
              {
                what: `W=${workers} over one worker`,
                value: seconds.get(1) / seconds.get(workers),
                unit: "x",
                min: workers === 2 ? TWO_WORKERS_OVER_ONE : undefined,
              },
            ]),
      ]);
    },
  },
];
