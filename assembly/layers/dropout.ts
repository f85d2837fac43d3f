// Inverted dropout on what the attention and the MLP add to the residual stream: an element survives with probability
// 1 - rate and is then divided by it. Masks come from the counter-based generator: the key is (seed, stream), the
// counter (column, row, site, step) with row = sequence x T + time within the whole batch, so that forward, backward
// and tangents agree, and so does any division into micro-batches or choice of prediction positions.
import { D } from "../layout";
import { DROPOUT, philox } from "../random";
import { mapped } from "../rows";
import { STEP, splatOnce, storeHalves, upperHalf } from "../simd";
import { tangent } from "../tangent";

let threshold: u32 = 0; // a word below it drops its element
let survivorScale: f32 = 1;
let seed: i32 = 0,
  stream: i32 = 0,
  step: i32 = 0,
  firstSequence: i32 = 0;

const words: usize = memory.data(64, 16);

/** Masks of the following passes; rate 0 turns dropout off. */
export function dropout_select(rate: f64, keySeed: i32, keyStream: i32, counterStep: i32): void {
  threshold = <u32>Math.min(Math.round(rate * 4294967296.0), 4294967295.0);
  survivorScale = <f32>(1 / (1 - <f64>threshold / 4294967296.0));
  seed = keySeed;
  stream = keyStream;
  step = counterStep;
}

/** Place of the next micro-batch's first sequence in its batch. */
export function dropout_sequence(first: i32): void {
  firstSequence = first;
}

// @ts-ignore: decorator
@inline
export function dropout_active(): bool {
  return threshold != 0;
}

/**
 * out (n P, D) = mask x / (1 - rate); times `position` (n P), sequences of length T; out may be x. With `tangents` those
 * of out and x as well.
 */
export function dropout_apply(
  out: usize,
  x: usize,
  site: i32,
  position: usize,
  n: i32,
  T: i32,
  P: i32,
  tangents: bool,
): void {
  if (tangents) dropout_apply(tangent(out), tangent(x), site, position, n, T, P, false);
  const bytes = (<usize>D) << 2;
  const dropped4 = i32x4.splat(<i32>threshold);
  const scale4 = splatOnce(survivorScale);
  for (let r = 0; r < n * P; r++) {
    const row = (firstSequence + r / P) * T + <i32>mapped(position, r);
    for (let c: usize = 0; c < bytes; c += 64) {
      philox(words, <i32>(c >> 6), row, DROPOUT + site, step, seed, stream);
      const used = min<usize>(64, bytes - c);
      let w: usize = 0;
      for (; w + STEP <= used; w += STEP) {
        const word = words + w,
          from = x + c + w;
        const survivors0 = i32x4.ge_u(v128.load(word), dropped4),
          survivors1 = i32x4.ge_u(upperHalf(word), dropped4);
        const x0 = f32x4.mul(v128.load(from), scale4),
          x1 = f32x4.mul(upperHalf(from), scale4);
        storeHalves(out + c + w, v128.and(x0, survivors0), v128.and(x1, survivors1));
      }
      for (; w + 16 <= used; w += 16) {
        const survivors = i32x4.ge_u(v128.load(words + w), dropped4);
        v128.store(out + c + w, v128.and(f32x4.mul(v128.load(x + c + w), scale4), survivors));
      }
      for (; w < used; w += 4) {
        const survives = load<u32>(words + w) >= threshold;
        store<f32>(out + c + w, survives ? load<f32>(x + c + w) * survivorScale : 0);
      }
    }
    x += bytes;
    out += bytes;
  }
}
