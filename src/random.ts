/**
 * Counter-based randomness. Every random number of a run comes from a generator whose state is a hash of
 * (seed, member, purpose, step), so it depends neither on the worker that asks nor on what was drawn before.
 * Everything here uses integer operations and the IEEE basic operations only (no Math.log, Math.cos, whose last
 * bit differs between engines): the same numbers come out on every machine.
 */
import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { refuse, requireOneOf, requireWhole } from "./validate.ts";

export type { RandomGenerator };

/** The third word of a purpose's keys, and the counters among the last words that are its own. */
interface Keys {
  number: number;
  /** First counter, default 0. */
  first?: number;
  /** How many there are, default all from the first one on. */
  count?: number;
}

/**
 * What a stream is for. No two purposes have a key in common, whatever the member and the counter. The numbers are part
 * of the reproducibility contract: append, never renumber.
 */
export const RUN_PURPOSES = {
  taskSplit: { number: 1, count: 1 },
  inputSplit: { number: 2, count: 1 },
  /** Counter: number of the probe set. */
  probe: { number: 3 },
  init: { number: 4, count: 1 },
  /** Training prompts. Counter: step. */
  data: { number: 5 },
  /** Root of the masks with which a member predicts. Counter: step. */
  dropout: { number: 6 },
  matrixFreeTrace: { number: 7, first: 0, count: 1 },
  matrixFreeDiagonal: { number: 7, first: 1, count: 1 },
  lowRankCurvature: { number: 7, first: 3, count: 1 },
  heldOutChoice: { number: 7, first: 4, count: 1 },
  posteriorPredictions: { number: 7, first: 1_000_000, count: 1 },
  /** Counter: number of the checkpoint in the request. */
  posteriorFit: { number: 7, first: 2_000_000, count: 1_000_000 },
  /** Counter: step of the checkpoint. */
  spectrum: { number: 7, first: 3_000_000 },
  /** Checks of an installation; nothing of a run uses it. */
  evaluation: { number: 8 },
  /** Counter: number of the chain. */
  learningCoefficient: { number: 9 },
  promptPool: { number: 10, count: 1 },
  /** Order of a pool's prompts. Counter: epoch. */
  poolOrder: { number: 11 },
  /** Which prompts or tasks a member trains on. */
  bootstrap: { number: 12, count: 1 },
  answerTable: { number: 13, count: 1 },
} as const satisfies Record<string, Keys>;

/** Of simulated linear models, whose `member` is the draw. They share no computation, and so no key, with a run. */
export const THEORY_PURPOSES = {
  theoryInputs: { number: 5, first: 0, count: 1 },
  theorySystem: { number: 5, first: 1, count: 1 },
  theoryTeacher: { number: 5, first: 2, count: 1 },
} as const satisfies Record<string, Keys>;

const PURPOSES: Record<Purpose, Keys> = { ...RUN_PURPOSES, ...THEORY_PURPOSES };
const NAMES = Object.keys(PURPOSES) as Purpose[];

export type Purpose = keyof typeof RUN_PURPOSES | keyof typeof THEORY_PURPOSES;

/**
 * The core draws dropout masks and IVON's noise itself, of keys (seed, stream, step) and (seed, member, step, sample).
 * Which streams of masks, and which samples of the noise, are whose; a member's number is below 2^31.
 */
export const MASK_STREAMS = {
  /** The member's number. */
  training: { first: 0, count: 2 ** 31 },
  memberPredictions: { first: 2 ** 31, count: 1 },
  posteriorPredictions: { first: 2 ** 32 - 1, count: 1 },
} as const;

export const IVON_SAMPLES = {
  training: { first: 0, count: 2 ** 31 },
  memberPredictions: { first: 2 ** 31, count: 2 ** 31 },
} as const;

const TWO_32 = 4294967296;

/** Start values of the four hash lanes: the first 128 fractional bits of pi. */
const LANES = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344] as const;

/** The 32-bit finaliser of MurmurHash3 (public domain, A. Appleby): a bijection in which every bit avalanches. */
function finalise(h: number): number {
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Absorb the words one after the other, each with a full avalanche. */
function hashLane(start: number, words: readonly number[]): number {
  let h = start;
  for (const word of words) h = finalise((h ^ word) + 0x9e3779b9);
  return h;
}

/** A fresh xoroshiro128+ generator whose state is a hash of the words, integers of 0..2^32-1. */
export function generatorOf(words: readonly number[]): RandomGenerator {
  const state = LANES.map((start) => hashLane(start, words));
  // xoroshiro128+ stays at zero once its whole state is zero.
  state[3] ||= 1;
  return xoroshiro128plusFromState(state);
}

/**
 * A fresh generator for one purpose.
 *
 * @param seed root seed, 0..2^32-1
 * @param member ensemble member, 0..2^32-1; 0 for what all members share
 * @param counter optimiser step or what else the purpose counts, from 0; at most 2^53-1 in all
 * @throws RangeError for an unknown purpose, and for a key outside its range
 */
export function stream(seed: number, member: number, purpose: Purpose, counter = 0): RandomGenerator {
  requireOneOf("purpose", purpose, NAMES);
  const { number, first = 0, count = Number.MAX_SAFE_INTEGER - first + 1 } = PURPOSES[purpose];
  requireWhole("seed", seed, TWO_32 - 1);
  requireWhole("member", member, TWO_32 - 1);
  const step = first + requireWhole(`counter of ${purpose}`, counter, count - 1);
  return generatorOf([seed, member, number, step % TWO_32, Math.floor(step / TWO_32)]);
}

/**
 * Uniform integer in 0..n-1, without bias: [0, 2^32) is cut into n equal buckets and the remainder is redrawn.
 * Buckets use the high bits, which are the strong ones of xoroshiro128+. `n` is an integer from 1 to 2^32 (not
 * checked: this is the inner loop of the samplers).
 */
export function uniformInt(rng: RandomGenerator, n: number): number {
  const bucket = Math.floor(TWO_32 / n);
  let value = n;
  while (value >= n) value = Math.floor((rng.next() >>> 0) / bucket);
  return value;
}

/** The same for a generator that may be anybody's. */
export function uniformIndex(rng: RandomGenerator, n: number): number {
  return uniformInt({ ...rng, next: () => nextInteger(rng) }, n);
}

/**
 * The next number of a generator, an integer from -2^31 to 2^31 - 1.
 * @throws RangeError for a generator that gives anything else, such as Math.random, of which draws would be of nothing
 */
export function nextInteger(rng: RandomGenerator): number {
  if (typeof rng?.next !== "function") refuse("rng", rng, "a generator of pure-rand, such as stream() makes");
  const value = rng.next();
  if ((value | 0) !== value)
    refuse(
      "number of rng",
      value,
      "an integer from -2147483648 to 2147483647, as the generators of pure-rand give",
    );
  return value;
}

/** Uniform multiple of 2^-32 in [0, 1). */
export function uniform(rng: RandomGenerator): number {
  return (nextInteger(rng) >>> 0) / TWO_32;
}

/**
 * Natural logarithm of 0 < x < 1 from basic operations only; relative error a few 1e-16.
 * x = m 2^-k with m in [1/sqrt 2, sqrt 2), then log m = 2 artanh((m-1)/(m+1)) by its series.
 */
function portableLog(x: number): number {
  let exponent = 0;
  let mantissa = x;
  while (mantissa < Math.SQRT1_2) {
    mantissa *= 2;
    exponent--;
  }
  const s = (mantissa - 1) / (mantissa + 1);
  const s2 = s * s;
  let series = 0;
  // |s| <= 0.1716, so the terms beyond s^23 are below 1e-18.
  for (let odd = 23; odd >= 3; odd -= 2) series = (series + 1 / odd) * s2;
  return exponent * Math.LN2 + 2 * (s + s * series);
}

/** Fill `out` with independent standard normals (Marsaglia's polar method in float64). */
export function normals(rng: RandomGenerator, out: Float32Array | Float64Array): void {
  for (let i = 0; i < out.length; i += 2) {
    let x = 0;
    let y = 0;
    let r2 = 1;
    while (r2 >= 1) {
      // Centred in (-1, 1): symmetric, and the origin is never hit.
      x = (nextInteger(rng) + 0.5) / 2147483648;
      y = (nextInteger(rng) + 0.5) / 2147483648;
      r2 = x * x + y * y;
    }
    const scale = Math.sqrt((-2 * portableLog(r2)) / r2);
    out[i] = x * scale;
    if (i + 1 < out.length) out[i + 1] = y * scale;
  }
}

/** Shuffle in place (Fisher-Yates). */
export function shuffle(rng: RandomGenerator, values: Int32Array): void {
  for (let i = values.length - 1; i > 0; i--) {
    const j = uniformInt(rng, i + 1);
    const swapped = values[i];
    values[i] = values[j];
    values[j] = swapped;
  }
}

/**
 * `count` different integers of 0..population-1 in random order, every ordered selection equally likely.
 *
 * @throws RangeError if `count` exceeds `population`
 */
export function sampleWithoutReplacement(
  rng: RandomGenerator,
  population: number,
  count: number,
): Int32Array {
  requireWhole("count", count, population);
  const pool = Int32Array.from({ length: population }, (_, i) => i);
  for (let i = 0; i < count; i++) {
    const j = i + uniformInt(rng, population - i);
    const picked = pool[j];
    pool[j] = pool[i];
    pool[i] = picked;
  }
  return pool.slice(0, count);
}
