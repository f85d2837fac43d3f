/** Philox4x32-10 (Salmon et al. 2011) in big integers, and what the core draws from it. For tests only. */
import type { DropoutFactor } from "./transformer.ts";

const low = (x: bigint) => x & 0xffffffffn;
const high = (x: bigint) => x >> 32n;

/** The four output words of one counter (4 words) under one key (2 words). */
export function philox4x32(counter: readonly number[], key: readonly number[]): number[] {
  let [x0, x1, x2, x3] = counter.map(BigInt);
  let [k0, k1] = key.map(BigInt);
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * x0;
    const p1 = 0xcd9e8d57n * x2;
    [x0, x1, x2, x3] = [high(p1) ^ x1 ^ k0, low(p1), high(p0) ^ x3 ^ k1, low(p0)];
    k0 = low(k0 + 0x9e3779b9n);
    k1 = low(k1 + 0xbb67ae85n);
  }
  return [x0, x1, x2, x3].map(Number);
}

/** Element e of the stream: counter (4 floor(e / 16) + e mod 4, c1, c2, c3), word floor(e / 4) mod 4. */
function element(e: number, [c1, c2, c3]: readonly number[], key: readonly number[]): number {
  return philox4x32([4 * Math.floor(e / 16) + (e % 4), c1, c2, c3], key)[Math.floor(e / 4) % 4];
}

const NOISE = 1 << 16;
const DROPOUT = 2 << 16;
const SIGNS = 3 << 16;

/** IVON's standard normal e for each parameter; Box and Muller on elements (2i, 2i + 1). */
export function ivonNoise(
  length: number,
  options: { seed: number; member: number; step: number; sample: number },
): Float64Array {
  const stream = [options.sample, NOISE, options.step];
  const uniform = (e: number) => (element(e, stream, [options.seed, options.member]) + 0.5) / 2 ** 32;
  return Float64Array.from({ length }, (_, e) => {
    const even = e - (e % 2);
    const radius = Math.sqrt(-2 * Math.log(uniform(even)));
    const angle = 2 * Math.PI * uniform(even + 1);
    return radius * (e % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
  });
}

/** Inverted dropout for sequences of `length` tokens. */
export function dropoutFactor(
  rate: number,
  length: number,
  { seed, stream, step }: { seed: number; stream: number; step: number },
): DropoutFactor {
  return (site, sequence, time, column) => {
    const word = element(column, [sequence * length + time, DROPOUT + site, step], [seed, stream]);
    return word < rate * 2 ** 32 ? 0 : 1 / (1 - rate);
  };
}

/** The sign of `column` of prediction `row` of a batch in one random signal. */
export function randomSign(
  row: number,
  column: number,
  { seed, stream, probe }: { seed: number; stream: number; probe: number },
): number {
  return element(column, [row, SIGNS, probe], [seed, stream]) >= 2 ** 31 ? -1 : 1;
}
