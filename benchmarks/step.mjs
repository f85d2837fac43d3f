/** One training step of this package and of its peers, and one evaluation. */
import { estimateCost } from "../dist/training/cost.js";
import { trainSegment } from "../dist/training/segment.js";
import { PRESETS, STEPS } from "./configs.mjs";
import { fastest, once } from "./measure.mjs";
import { PEERS, timePeer } from "./peers.mjs";

const ROUNDS = 5;

/** Nominal FLOPs of one round of steps. */
const ROUND_FLOPS = 15e9;

/** Trains member 0 for `steps` steps from `state`, without an evaluation. */
export function train(config, core, state, steps) {
  const end = (state?.step ?? 0) + steps;
  let step = end - steps;
  const result = trainSegment(
    { config, member: 0, state, toStep: Number.POSITIVE_INFINITY },
    {
      core,
      stop: () => step === end,
      onStep: (done) => {
        step = done;
      },
    },
  );
  if (result.nonFiniteStep) throw new Error(`the loss became non-finite at step ${result.nonFiniteStep}`);
  return result;
}

/** Milliseconds of one training step of one member, prompts included. */
function stepMilliseconds(config, core) {
  const steps = Math.max(1, Math.round(ROUND_FLOPS / estimateCost(config).flopsPerStep));
  let { state } = train(config, core, null, Math.min(20, steps));
  return fastest(ROUNDS, () => {
    const result = train(config, core, state, steps);
    state = result.state;
    return (1e3 * result.trainSeconds) / steps;
  });
}

/** The rate at which the dense model's operations would have been done. */
export function nominalRate(config, { math, core, ceiling }) {
  const { flopsPerStep, tokensPerStep } = estimateCost(config);
  const milliseconds = stepMilliseconds({ ...config, math }, core);
  const value = flopsPerStep / milliseconds / 1e6;
  return {
    milliseconds,
    tokens: { value: (1e3 * tokensPerStep) / milliseconds, unit: "tokens/s" },
    nominal: { value, unit: "GFLOP/s", share: value / ceiling() },
  };
}

export function stepBenches(builds, note) {
  return Object.entries(STEPS).flatMap(([name, { config, peers, bars = {} }]) => {
    const own = builds.map((build) => ({ ...build, step: once(() => nominalRate(config, build)) }));
    return [
      ...own.map(({ label, step }) => ({
        ...{ group: "step", name, build: label },
        measure() {
          const { milliseconds, tokens, nominal } = step();
          return [
            { value: milliseconds, unit: "ms" },
            { what: "tokens", ...tokens },
            { what: "nominal rate", ...nominal },
          ];
        },
      })),
      ...peers.map((peer) => ({
        ...{ group: "step", name, build: peer },
        measure: () => besidePeer(peer, config, own, bars[peer] ?? {}, note),
      })),
    ];
  });
}

/** Empty, after a note, where the peer is not installed. */
function besidePeer(peer, config, builds, bars, note) {
  const result = timePeer(peer, config, builds);
  if (!result) {
    note(`${peer}: not measured, needs ${PEERS[peer].install}`);
    return [];
  }
  return [
    { value: result.milliseconds, unit: "ms", version: result.version },
    ...builds.map(({ label, math, simd, step }) => ({
      ...{
        what: `times as fast as ${peer}`,
        build: label,
        unit: "x",
        min: math === "fast" ? bars[simd] : undefined,
      },
      value: result.milliseconds / step().milliseconds,
    })),
  ];
}

/** Milliseconds to predict on all probe sets. */
export const evaluationBenches = (builds) =>
  Object.entries(PRESETS).flatMap(([preset, config]) =>
    builds.map(({ label, math, core }) => ({
      ...{ group: "evaluation", name: `${preset}: all probe sets`, build: label },
      measure() {
        const request = { config: { ...config, math }, member: 0, state: null, toStep: 0 };
        const seconds = fastest(
          ROUNDS,
          () => trainSegment(request, { core, stop: () => false }).evaluationSeconds,
        );
        return [{ value: 1e3 * seconds, unit: "ms" }];
      },
    })),
  );
