// The most a build can do on a machine: arithmetic that never leaves the registers. Twelve independent chains cover the
// latency of 4 cycles with two operations started in each. The strict build multiplies in half of them and adds in the
// other half: where a product is added to its own chain, the two latencies add up and more chains would be needed than
// there are registers. What is multiplied and added comes from the caller, because V8 builds constants anew in every
// round; with 1 and a small number no chain becomes subnormal.
//
// How V8 allocates registers decides whether one or two rounds an iteration come closer: the faster one counts.
//
// In the wide builds every chain, m0 .. m5 and s0 .. s5, has an upper half, n0 .. n5 and t0 .. t5.

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

/** Floating-point operations of a round: 12 chains, two for each element where they are fused. */
export function ceilingFlops(): i32 {
  return (ASC_FEATURE_RELAXED_SIMD ? 96 : 48) * (WIDE ? 2 : 1);
}

/** `n` rounds; leaves 384 bytes at `out`. */
export function ceiling(n: i32, x: f32, y: f32, out: usize): void {
  const a = f32x4.splat(x),
    b = f32x4.splat(y);
  let m0 = f32x4.splat(0),
    s0 = f32x4.splat(6),
    n0 = m0,
    t0 = s0;
  let m1 = f32x4.splat(1),
    s1 = f32x4.splat(7),
    n1 = m1,
    t1 = s1;
  let m2 = f32x4.splat(2),
    s2 = f32x4.splat(8),
    n2 = m2,
    t2 = s2;
  let m3 = f32x4.splat(3),
    s3 = f32x4.splat(9),
    n3 = m3,
    t3 = s3;
  let m4 = f32x4.splat(4),
    s4 = f32x4.splat(10),
    n4 = m4,
    t4 = s4;
  let m5 = f32x4.splat(5),
    s5 = f32x4.splat(11),
    n5 = m5,
    t5 = s5;
  for (let i = 0; i < n; i++) {
    m0 = first(m0, a, b);
    s0 = second(s0, a, b);
    m1 = first(m1, a, b);
    s1 = second(s1, a, b);
    m2 = first(m2, a, b);
    s2 = second(s2, a, b);
    m3 = first(m3, a, b);
    s3 = second(s3, a, b);
    m4 = first(m4, a, b);
    s4 = second(s4, a, b);
    m5 = first(m5, a, b);
    s5 = second(s5, a, b);
    if (WIDE) {
      n0 = first(n0, a, b);
      t0 = second(t0, a, b);
      n1 = first(n1, a, b);
      t1 = second(t1, a, b);
      n2 = first(n2, a, b);
      t2 = second(t2, a, b);
      n3 = first(n3, a, b);
      t3 = second(t3, a, b);
      n4 = first(n4, a, b);
      t4 = second(t4, a, b);
      n5 = first(n5, a, b);
      t5 = second(t5, a, b);
    }
  }
  if (WIDE) v128.store(out, n0, 16);
  v128.store(out, m0);
  if (WIDE) v128.store(out, t0, 48);
  v128.store(out, s0, 32);
  if (WIDE) v128.store(out, n1, 80);
  v128.store(out, m1, 64);
  if (WIDE) v128.store(out, t1, 112);
  v128.store(out, s1, 96);
  if (WIDE) v128.store(out, n2, 144);
  v128.store(out, m2, 128);
  if (WIDE) v128.store(out, t2, 176);
  v128.store(out, s2, 160);
  if (WIDE) v128.store(out, n3, 208);
  v128.store(out, m3, 192);
  if (WIDE) v128.store(out, t3, 240);
  v128.store(out, s3, 224);
  if (WIDE) v128.store(out, n4, 272);
  v128.store(out, m4, 256);
  if (WIDE) v128.store(out, t4, 304);
  v128.store(out, s4, 288);
  if (WIDE) v128.store(out, n5, 336);
  v128.store(out, m5, 320);
  if (WIDE) v128.store(out, t5, 368);
  v128.store(out, s5, 352);
}

/** `n` rounds, an even number, two an iteration; leaves 384 bytes at `out`. */
export function ceilingUnrolled(n: i32, x: f32, y: f32, out: usize): void {
  const a = f32x4.splat(x),
    b = f32x4.splat(y);
  let m0 = f32x4.splat(0),
    s0 = f32x4.splat(6),
    n0 = m0,
    t0 = s0;
  let m1 = f32x4.splat(1),
    s1 = f32x4.splat(7),
    n1 = m1,
    t1 = s1;
  let m2 = f32x4.splat(2),
    s2 = f32x4.splat(8),
    n2 = m2,
    t2 = s2;
  let m3 = f32x4.splat(3),
    s3 = f32x4.splat(9),
    n3 = m3,
    t3 = s3;
  let m4 = f32x4.splat(4),
    s4 = f32x4.splat(10),
    n4 = m4,
    t4 = s4;
  let m5 = f32x4.splat(5),
    s5 = f32x4.splat(11),
    n5 = m5,
    t5 = s5;
  for (let i = 0; i < n; i += 2) {
    m0 = first(m0, a, b);
    s0 = second(s0, a, b);
    m1 = first(m1, a, b);
    s1 = second(s1, a, b);
    m2 = first(m2, a, b);
    s2 = second(s2, a, b);
    m3 = first(m3, a, b);
    s3 = second(s3, a, b);
    m4 = first(m4, a, b);
    s4 = second(s4, a, b);
    m5 = first(m5, a, b);
    s5 = second(s5, a, b);
    if (WIDE) {
      n0 = first(n0, a, b);
      t0 = second(t0, a, b);
      n1 = first(n1, a, b);
      t1 = second(t1, a, b);
      n2 = first(n2, a, b);
      t2 = second(t2, a, b);
      n3 = first(n3, a, b);
      t3 = second(t3, a, b);
      n4 = first(n4, a, b);
      t4 = second(t4, a, b);
      n5 = first(n5, a, b);
      t5 = second(t5, a, b);
    }
    m0 = first(m0, a, b);
    s0 = second(s0, a, b);
    m1 = first(m1, a, b);
    s1 = second(s1, a, b);
    m2 = first(m2, a, b);
    s2 = second(s2, a, b);
    m3 = first(m3, a, b);
    s3 = second(s3, a, b);
    m4 = first(m4, a, b);
    s4 = second(s4, a, b);
    m5 = first(m5, a, b);
    s5 = second(s5, a, b);
    if (WIDE) {
      n0 = first(n0, a, b);
      t0 = second(t0, a, b);
      n1 = first(n1, a, b);
      t1 = second(t1, a, b);
      n2 = first(n2, a, b);
      t2 = second(t2, a, b);
      n3 = first(n3, a, b);
      t3 = second(t3, a, b);
      n4 = first(n4, a, b);
      t4 = second(t4, a, b);
      n5 = first(n5, a, b);
      t5 = second(t5, a, b);
    }
  }
  if (WIDE) v128.store(out, n0, 16);
  v128.store(out, m0);
  if (WIDE) v128.store(out, t0, 48);
  v128.store(out, s0, 32);
  if (WIDE) v128.store(out, n1, 80);
  v128.store(out, m1, 64);
  if (WIDE) v128.store(out, t1, 112);
  v128.store(out, s1, 96);
  if (WIDE) v128.store(out, n2, 144);
  v128.store(out, m2, 128);
  if (WIDE) v128.store(out, t2, 176);
  v128.store(out, s2, 160);
  if (WIDE) v128.store(out, n3, 208);
  v128.store(out, m3, 192);
  if (WIDE) v128.store(out, t3, 240);
  v128.store(out, s3, 224);
  if (WIDE) v128.store(out, n4, 272);
  v128.store(out, m4, 256);
  if (WIDE) v128.store(out, t4, 304);
  v128.store(out, s4, 288);
  if (WIDE) v128.store(out, n5, 336);
  v128.store(out, m5, 320);
  if (WIDE) v128.store(out, t5, 368);
  v128.store(out, s5, 352);
}
