/** How well runs of one member fill the cores: the command of a sweep on one of them and on more. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const RUNS = 8;
/** A quarter of those of the preset. */
const STEPS = 1500;
const ROUNDS = 2;
const TWO_CORES_OVER_ONE = 1.9;
const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));

/** Seconds of the whole command, with as many workers as cores, which it cannot leave where the system has taskset. */
function sweepSeconds({ math, simd }, cores) {
  const folder = mkdtempSync(join(tmpdir(), "epigrok-bench-"));
  const sweep = [
    ...[process.execPath, cli, "sweep", "--preset", "quick", "--axis", `seed=0..${RUNS - 1}`],
    ...["--members", "1", "--set", `training.steps=${STEPS}`, "--set", `math=${math}`, "--simd", simd],
    ...["--workers", cores, "--out", join(folder, "sweep"), "--quiet"],
  ].map(String);
  const [program, ...args] = onCores(cores, sweep);
  try {
    const started = performance.now();
    const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`the sweep ended with ${status}: ${error ?? stderr}`);
    return (performance.now() - started) / 1000;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const hasTaskset = spawnSync("taskset", ["-c", "0", "true"]).status === 0;
const onCores = (cores, command) => (hasTaskset ? ["taskset", "-c", `0-${cores - 1}`, ...command] : command);

export const packingBenches = ([build]) => [
  {
    ...{ group: "sweep", name: `quick, ${RUNS} runs of one member, ${STEPS} steps`, build: build.label },
    async measure() {
      const counts = [1, 2, 4, 8, 16].filter((cores) => cores <= availableParallelism());
      const seconds = new Map(counts.map((cores) => [cores, Number.POSITIVE_INFINITY]));
      // In turn, so that what the machine does meanwhile falls on all of them.
      for (let round = 0; round < ROUNDS; round++)
        for (const cores of counts)
          seconds.set(cores, Math.min(seconds.get(cores), sweepSeconds(build, cores)));
      return counts.flatMap((cores) => [
        { what: `cores=${cores}`, value: seconds.get(cores), unit: "s" },
        ...(cores === 1
          ? []
          : [
              {
                what: `cores=${cores} over one core`,
                value: seconds.get(1) / seconds.get(cores),
                unit: "x",
                min: cores === 2 ? TWO_CORES_OVER_ONE : undefined,
              },
            ]),
      ]);
    },
  },
];
