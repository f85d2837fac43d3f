// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror & Shaw, SC 2011). A number is a function of its
// key and counter alone, so the same noise or mask comes out whatever was drawn before, in any order and any number of
// micro-batches. Only integers and WebAssembly's own float64 operations: both builds give the same bytes everywhere.
//
// A stream is indexed by element e. Its counter is (4 (e >> 4) + (e & 3), c1, c2, c3) and its word (e >> 2) & 3: four
// counters side by side in vector lanes give elements 16 i .. 16 i + 15 in memory order.

const MULTIPLIER0: i32 = 0xd2511f53,
  MULTIPLIER1: i32 = 0xcd9e8d57;
const WEYL0: i32 = 0x9e3779b9,
  WEYL1: i32 = 0xbb67ae85;
const ROUNDS: i32 = 10;

/** What a stream is for: the high half of c2, so that no two uses share a counter. */
export const NOISE: i32 = 1 << 16,
  DROPOUT: i32 = 2 << 16,
  SIGNS: i32 = 3 << 16;

/** High halves of the four 64-bit products, given as those of lanes 0, 1 and of lanes 2, 3. */
// @ts-ignore: decorator
@inline
function highHalves(lanes01: v128, lanes23: v128): v128 {
  return i8x16.shuffle(lanes01, lanes23, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}

/** 16 words at out: elements 16 block .. 16 block + 15 of the stream (c1, c2, c3) under the key (k0, k1). */
export function philox(out: usize, block: i32, c1: i32, c2: i32, c3: i32, k0: i32, k1: i32): void {
  philox_blocks(out, block << 2, c1, c2, c3, k0, k1);
}

/** Counters (c0 .. c0 + 3, c1, c2, c3), one a lane: word w of lane l is stored at out + 4 (4 w + l). */
export function philox_blocks(out: usize, c0: i32, c1: i32, c2: i32, c3: i32, k0: i32, k1: i32): void {
  const multiplier0 = i32x4.splat(MULTIPLIER0);
  const multiplier1 = i32x4.splat(MULTIPLIER1);
  let x0 = i32x4.add(i32x4.splat(c0), i32x4(0, 1, 2, 3));
  let x1 = i32x4.splat(c1);
  let x2 = i32x4.splat(c2);
  let x3 = i32x4.splat(c3);
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = highHalves(
      i64x2.extmul_low_i32x4_u(x0, multiplier0),
      i64x2.extmul_high_i32x4_u(x0, multiplier0),
    );
    const high1 = highHalves(
      i64x2.extmul_low_i32x4_u(x2, multiplier1),
      i64x2.extmul_high_i32x4_u(x2, multiplier1),
    );
    const low0 = i32x4.mul(x0, multiplier0);
    const low1 = i32x4.mul(x2, multiplier1);
    x0 = v128.xor(v128.xor(high1, x1), i32x4.splat(k0));
    x1 = low1;
    x2 = v128.xor(v128.xor(high0, x3), i32x4.splat(k1));
    x3 = low0;
    k0 += WEYL0;
    k1 += WEYL1;
  }
  v128.store(out, x0);
  v128.store(out, x1, 16);
  v128.store(out, x2, 32);
  v128.store(out, x3, 48);
}

/** (word + 1/2) / 2^32, strictly between 0 and 1. */
// @ts-ignore: decorator
@inline
function uniform(word: usize): f64 {
  return (<f64>load<u32>(word) + 0.5) * (1.0 / 4294967296.0);
}

/** Turn 16 words into standard normal float32 in place; Box & Muller: pairs (r cos, r sin), r = sqrt(-2 ln u). */
export function normals16(words: usize): void {
  for (let at = words; at < words + 64; at += 8) {
    const radius = Math.sqrt(-2 * Math.log(uniform(at)));
    const angle = 2 * Math.PI * uniform(at + 4);
    store<f32>(at, <f32>(radius * Math.cos(angle)));
    store<f32>(at, <f32>(radius * Math.sin(angle)), 4);
  }
}
