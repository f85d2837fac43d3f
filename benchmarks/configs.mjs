/** What is measured: the presets, and models of a given width on prompts of a given length. */

import { listPresets } from "../dist/config/presets.js";
import { configSchema } from "../dist/config/schema.js";

const preset = (name) => listPresets().find((p) => p.name === name).config;

/**
 * Two blocks of 4 heads with an MLP of 4d, untied, on batches of B prompts of n examples of two variables modulo 29:
 * T = 3n - 1 tokens, n predictions.
 */
export const decoder = ({ d = 64, n = 8, B = 64 }) =>
  configSchema.parse({
    task: { modulus: 29, variables: 2, trainTasks: 400, examples: n, distinctInputs: false, promptPool: 0 },
    model: { dModel: d, dMlp: 4 * d },
    training: { batchSize: B, lossPositions: "all" },
  });

export const PRESETS = { quick: preset("quick"), standard: preset("standard") };

/** The bars: how many times as fast as each peer the fast build's step has to be at each width of its vectors. */
export const STEPS = {
  quick: {
    config: PRESETS.quick,
    peers: ["PyTorch", "PyTorch compiled", "TensorFlow.js"],
    bars: { PyTorch: { 256: 5 } },
  },
  fresh: { config: preset("fresh"), peers: ["PyTorch"], bars: { PyTorch: { 256: 5 } } },
  standard: {
    config: PRESETS.standard,
    peers: ["PyTorch", "PyTorch compiled", "TensorFlow.js"],
    bars: { PyTorch: { 256: 4 } },
  },
  "d=64 T=23 B=64": {
    config: decoder({ d: 64, n: 8 }),
    peers: ["PyTorch", "PyTorch compiled", "TensorFlow.js"],
    bars: { PyTorch: { 256: 3.7 }, "TensorFlow.js": { 128: 20, 256: 20 } },
  },
  "d=128 T=47 B=64": {
    config: decoder({ d: 128, n: 16 }),
    peers: ["PyTorch", "PyTorch compiled", "TensorFlow.js"],
    bars: { PyTorch: { 256: 2.5 }, "TensorFlow.js": { 128: 20, 256: 20 } },
  },
  "d=256 T=95 B=64": {
    config: decoder({ d: 256, n: 32 }),
    peers: ["PyTorch", "PyTorch compiled"],
    bars: { PyTorch: { 128: 1, 256: 2.1 } },
  },
  "d=512 T=95 B=32": {
    config: decoder({ d: 512, n: 32, B: 32 }),
    peers: ["PyTorch", "PyTorch compiled"],
    bars: { PyTorch: { 256: 1.9 } },
  },
};
