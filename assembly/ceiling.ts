// The most a build can do on a machine: arithmetic that never leaves the registers. Twelve independent chains cover the
// latency of 4 cycles with two operations started in each. The strict build multiplies in half of them and adds in the
// other half: where a product is added to its own chain, the two latencies add up and more chains would be needed than
// there are registers. What is multiplied and added comes from the caller, because V8 builds constants anew in every
// round; with 1 and a small number no chain becomes subnormal.
//
// How V8 allocates registers decides whether one or two rounds an iteration come closer: the faster one counts.

// @ts-ignore: decorator
@inline
function first(x: v128, a: v128, b: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(x, a, b) : f32x4.mul(x, a);
}

// @ts-ignore: decorator
@inline
function second(x: v128, a: v128, b: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(x, a, b) : f32x4.add(x, b);
}

/** The results have to be used, or nothing would be computed. */
function total(x0: v128, x1: v128, x2: v128, x3: v128, x4: v128, x5: v128): f32 {
  const sum = f32x4.add(f32x4.add(f32x4.add(x0, x1), f32x4.add(x2, x3)), f32x4.add(x4, x5));
  return f32x4.extract_lane(sum, 0);
}

/** Floating-point operations of a round: 12 chains of 4 lanes, two each where they are fused. */
export function ceilingFlops(): i32 { return ASC_FEATURE_RELAXED_SIMD ? 96 : 48; }

/** `n` rounds. */
export function ceiling(n: i32, x: f32, y: f32): f32 {
  const a = f32x4.splat(x), b = f32x4.splat(y);
  let m0 = f32x4.splat(0), s0 = f32x4.splat(6);
  let m1 = f32x4.splat(1), s1 = f32x4.splat(7);
  let m2 = f32x4.splat(2), s2 = f32x4.splat(8);
  let m3 = f32x4.splat(3), s3 = f32x4.splat(9);
  let m4 = f32x4.splat(4), s4 = f32x4.splat(10);
  let m5 = f32x4.splat(5), s5 = f32x4.splat(11);
  for (let i = 0; i < n; i++) {
    m0 = first(m0, a, b); s0 = second(s0, a, b); m1 = first(m1, a, b); s1 = second(s1, a, b);
    m2 = first(m2, a, b); s2 = second(s2, a, b); m3 = first(m3, a, b); s3 = second(s3, a, b);
    m4 = first(m4, a, b); s4 = second(s4, a, b); m5 = first(m5, a, b); s5 = second(s5, a, b);
  }
  return total(m0, m1, m2, m3, m4, m5) + total(s0, s1, s2, s3, s4, s5);
}

/** `n` rounds, an even number, two an iteration. */
export function ceilingUnrolled(n: i32, x: f32, y: f32): f32 {
  const a = f32x4.splat(x), b = f32x4.splat(y);
  let m0 = f32x4.splat(0), s0 = f32x4.splat(6);
  let m1 = f32x4.splat(1), s1 = f32x4.splat(7);
  let m2 = f32x4.splat(2), s2 = f32x4.splat(8);
  let m3 = f32x4.splat(3), s3 = f32x4.splat(9);
  let m4 = f32x4.splat(4), s4 = f32x4.splat(10);
  let m5 = f32x4.splat(5), s5 = f32x4.splat(11);
  for (let i = 0; i < n; i += 2) {
    m0 = first(m0, a, b); s0 = second(s0, a, b); m1 = first(m1, a, b); s1 = second(s1, a, b);
    m2 = first(m2, a, b); s2 = second(s2, a, b); m3 = first(m3, a, b); s3 = second(s3, a, b);
    m4 = first(m4, a, b); s4 = second(s4, a, b); m5 = first(m5, a, b); s5 = second(s5, a, b);
    m0 = first(m0, a, b); s0 = second(s0, a, b); m1 = first(m1, a, b); s1 = second(s1, a, b);
    m2 = first(m2, a, b); s2 = second(s2, a, b); m3 = first(m3, a, b); s3 = second(s3, a, b);
    m4 = first(m4, a, b); s4 = second(s4, a, b); m5 = first(m5, a, b); s5 = second(s5, a, b);
  }
  return total(m0, m1, m2, m3, m4, m5) + total(s0, s1, s2, s3, s4, s5);
}
