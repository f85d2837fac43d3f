/** How speed depends on width, prompt length, batch size, members and workers, one at a time. */
import { availableParallelism } from "node:os";
import { newMember, trainEnsemble } from "../dist/pool/controller.js";
import { createWorkerPool } from "../dist/pool/pool.js";
import { decoder, PRESETS } from "./configs.mjs";
import { once } from "./measure.mjs";
import { nominalRate } from "./step.mjs";

/** Prompts of n examples have T = 3n - 1 tokens. */
const SERIES = [
  ...[32, 64, 128, 256].map((d) => [`d=${d}, T=23, B=64`, { d }]),
  ...[4, 8, 16, 32, 64].map((n) => [`T=${3 * n - 1}, d=64, B=64`, { n }]),
  ...[1, 8, 64, 512].map((B) => [`B=${B}, d=64, T=23`, { B }]),
];

export const modelScalingBenches = ([build]) =>
  SERIES.map(([name, sizes]) => ({
    ...{ group: "scaling", name: `nominal rate, ${name}`, build: build.label },
    measure: () => [nominalRate(decoder(sizes), build).nominal],
  }));

const SEGMENT = 25;
const SEGMENTS = 4;
const TWO_WORKERS_OVER_ONE = 1.9;

/** Member steps per second of K members on W workers as in a run, evaluations included, files left out. */
async function ensembleRate({ math, core }, K, W) {
  const config = { ...PRESETS.quick, math };
  const pool = createWorkerPool({ workers: Math.min(W, K), members: K, core });
  const trainTo = (members, steps) =>
    trainEnsemble({
      ...{ config, steps, members, aggregated: members[0].evaluated, workers: W },
      runSegment: pool.runSegment,
      saveMember: async () => {},
      saveEvaluation: async () => {},
      stopped: pool.stopped,
      stop: pool.stop,
    });
  try {
    const members = Array.from({ length: K }, (_, member) => newMember(member));
    const warm = await trainTo(members, [SEGMENT]);
    const started = performance.now();
    const steps = Array.from({ length: SEGMENTS }, (_, i) => (i + 2) * SEGMENT);
    const trained = await trainTo(warm, steps);
    const seconds = (performance.now() - started) / 1000;
    const failed = trained.find(({ failure }) => failure);
    if (failed) throw new Error(failed.failure.message);
    return (K * SEGMENTS * SEGMENT) / seconds;
  } finally {
    await pool.close();
  }
}

export function ensembleScalingBenches([build]) {
  const cores = availableParallelism();
  const rates = new Map();
  const rateOf = async (K, W) => {
    const key = `K=${K}, W=${W}`;
    if (!rates.has(key)) rates.set(key, await ensembleRate(build, K, W));
    return { value: rates.get(key), unit: "member steps/s" };
  };
  const bench = (name, measure) => ({ group: "scaling", name, build: build.label, measure });
  const workers = [2, 4, 8, 16].filter((W) => W <= cores);
  return [
    ...[1, 2, 3, 4, 5].map((K) => bench(`K=${K}, W=${cores}`, async () => [await rateOf(K, cores)])),
    bench("W=1, K=4", async () => [await rateOf(4, 1)]),
    ...workers.map((W) => {
      const K = Math.max(4, W);
      return bench(`W=${W}, K=${K}`, async () => {
        const rate = await rateOf(K, W);
        const { value: one } = await rateOf(4, 1);
        const min = W === 2 ? TWO_WORKERS_OVER_ONE : undefined;
        return [rate, { what: "over one worker", value: rate.value / one, unit: "x", min }];
      });
    }),
  ];
}

/** Wide enough that threads could share a step, and what a user would run. */
const SHARED = {
  standard: PRESETS.standard,
  "d=128 T=47 B=64": decoder({ d: 128, n: 16 }),
  "d=256 T=95 B=64": decoder({ d: 256, n: 32 }),
};
const TWO_THREADS_OVER_ONE = 1.8;
const SHARED_SECONDS = 2;

/** Seconds of one step of one member on T threads: the fastest of several segments, without evaluations. */
async function memberStepSeconds(config, { math, core }, T) {
  const pool = createWorkerPool({ workers: T, members: 1, core });
  let state = null;
  const segment = async (steps) => {
    const toStep = (state?.step ?? 0) + steps;
    const request = { config: { ...config, math }, member: 0, state, toStep };
    const result = await pool.runSegment(request);
    ({ state } = result);
    return result.trainSeconds / steps;
  };
  try {
    const roughly = await segment(3);
    const steps = Math.max(3, Math.round(SHARED_SECONDS / roughly));
    let seconds = await segment(steps);
    for (let i = 0; i < 3; i++) seconds = Math.min(seconds, await segment(steps));
    return seconds;
  } finally {
    await pool.close();
  }
}

export function threadScalingBenches([build]) {
  const cores = availableParallelism();
  return Object.entries(SHARED).flatMap(([name, config]) => {
    const one = once(() => memberStepSeconds(config, build, 1));
    return [1, 2, 4, 8, 16]
      .filter((T) => T <= cores)
      .map((T) => ({
        ...{ group: "threads", name: `${name}, one member on ${T}`, build: build.label },
        async measure() {
          const alone = await one();
          const seconds = T === 1 ? alone : await memberStepSeconds(config, build, T);
          const min = T === 2 ? TWO_THREADS_OVER_ONE : undefined;
          return [
            { value: 1e3 * seconds, unit: "ms" },
            { what: "over one thread", value: alone / seconds, unit: "x", min },
          ];
        },
      }));
  });
}
