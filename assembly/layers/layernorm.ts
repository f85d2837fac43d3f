// LayerNorm over the last dimension, eps 1e-5, biased variance: out = (x - mean) rstd w + b.
import { STEP, addHalves, horizontalSum, madd, maddHalves, splatOnce, storeHalves, upperHalf } from "../simd";
import { TANGENT } from "../tangent";

const EPSILON: f32 = 1e-5;

/** out (rows, d), stats (rows, 2) = mean, rstd  <-  x (rows, d), weight (d), bias (d); with `tangents` also theirs. */
export function layernorm_forward(
  out: usize,
  stats: usize,
  x: usize,
  weight: usize,
  bias: usize,
  rows: i32,
  d: i32,
  tangents: bool,
): void {
  if (tangents) {
    layernorm_forward(out, stats, x, weight, bias, rows, d, false);
    return layernorm_jvp(out, stats, x, weight, bias, rows, d);
  }
  row_statistics(stats, x, rows, d);
  const bytes = (<usize>d) << 2;
  const vectorBytes = (<usize>(d & ~3)) << 2;
  for (let r = 0; r < rows; r++) {
    const mean = load<f32>(stats);
    const rstd = load<f32>(stats, 4);
    const mean4 = v128.load32_splat(stats);
    const rstd4 = v128.load32_splat(stats, 4);
    let c: usize = 0;
    for (; c + STEP <= vectorBytes; c += STEP) {
      const from = x + c,
        w = weight + c,
        b = bias + c;
      const x0 = v128.load(from),
        x1 = upperHalf(from);
      const w0 = v128.load(w),
        w1 = upperHalf(w);
      const b0 = v128.load(b),
        b1 = upperHalf(b);
      const low = madd(normalised(x0, mean4, rstd4), w0, b0);
      const high = madd(normalised(x1, mean4, rstd4), w1, b1);
      storeHalves(out + c, low, high);
    }
    for (; c < vectorBytes; c += 16) {
      const n = normalised(v128.load(x + c), mean4, rstd4);
      v128.store(out + c, madd(n, v128.load(weight + c), v128.load(bias + c)));
    }
    for (; c < bytes; c += 4) {
      store<f32>(out + c, (load<f32>(x + c) - mean) * rstd * load<f32>(weight + c) + load<f32>(bias + c));
    }
    x += bytes;
    out += bytes;
    stats += 8;
  }
}

// @ts-ignore: decorator
@inline
function normalised(x: v128, mean: v128, rstd: v128): v128 {
  return f32x4.mul(f32x4.sub(x, mean), rstd);
}

/**
 * stats (rows, 2) = mean, rstd of x (rows, d). Each sum is a chain of additions, each of which waits for the one before:
 * four rows at a time wait together. The last ones are done again where there are fewer.
 */
function row_statistics(stats: usize, x: usize, rows: i32, d: i32): void {
  const bytes = (<usize>d) << 2;
  const vectorBytes = (<usize>(d & ~3)) << 2;
  const zero = f32x4.splat(0);
  for (let r = 0; r < rows; r += 4) {
    const r1 = <usize>min(r + 1, rows - 1),
      r2 = <usize>min(r + 2, rows - 1),
      r3 = <usize>min(r + 3, rows - 1);
    const x0 = x + <usize>r * bytes,
      x1 = x + r1 * bytes,
      x2 = x + r2 * bytes,
      x3 = x + r3 * bytes;
    let a0 = zero,
      a1 = zero,
      a2 = zero,
      a3 = zero;
    for (let c: usize = 0; c < vectorBytes; c += 16) {
      a0 = f32x4.add(a0, v128.load(x0 + c));
      a1 = f32x4.add(a1, v128.load(x1 + c));
      a2 = f32x4.add(a2, v128.load(x2 + c));
      a3 = f32x4.add(a3, v128.load(x3 + c));
    }
    const s0 = stats + ((<usize>r) << 3),
      s1 = stats + (r1 << 3),
      s2 = stats + (r2 << 3),
      s3 = stats + (r3 << 3);
    store_mean(s0, x0, a0, d);
    store_mean(s1, x1, a1, d);
    store_mean(s2, x2, a2, d);
    store_mean(s3, x3, a3, d);
    const m0 = v128.load32_splat(s0),
      m1 = v128.load32_splat(s1);
    const m2 = v128.load32_splat(s2),
      m3 = v128.load32_splat(s3);
    a0 = a1 = a2 = a3 = zero;
    for (let c: usize = 0; c < vectorBytes; c += 16) {
      const c0 = f32x4.sub(v128.load(x0 + c), m0),
        c1 = f32x4.sub(v128.load(x1 + c), m1);
      const c2 = f32x4.sub(v128.load(x2 + c), m2),
        c3 = f32x4.sub(v128.load(x3 + c), m3);
      a0 = madd(c0, c0, a0);
      a1 = madd(c1, c1, a1);
      a2 = madd(c2, c2, a2);
      a3 = madd(c3, c3, a3);
    }
    store_rstd(s0, x0, a0, d);
    store_rstd(s1, x1, a1, d);
    store_rstd(s2, x2, a2, d);
    store_rstd(s3, x3, a3, d);
  }
}

/** The mean of x (d), the sum of whose whole vectors is `sum4`. */
// @ts-ignore: decorator
@inline
function store_mean(stats: usize, x: usize, sum4: v128, d: i32): void {
  let sum = horizontalSum(sum4);
  for (let c = d & ~3; c < d; c++) sum += load<f32>(x + ((<usize>c) << 2));
  store<f32>(stats, sum * (1 / <f32>d));
}

/** Its rstd, where `squares4` is the sum of squares of the centred whole vectors. */
// @ts-ignore: decorator
@inline
function store_rstd(stats: usize, x: usize, squares4: v128, d: i32): void {
  const mean = load<f32>(stats);
  let squares = horizontalSum(squares4);
  for (let c = d & ~3; c < d; c++) {
    const centred = load<f32>(x + ((<usize>c) << 2)) - mean;
    squares += centred * centred;
  }
  store<f32>(stats, 1 / Mathf.sqrt(squares * (1 / <f32>d) + EPSILON), 4);
}

/**
 * dx (rows, d) += and dweight, dbias (d) +=  <-  dout (rows, d), x (rows, d), stats (rows, 2), weight (d).
 * With n = (x - mean) rstd and g = dout w:  dx = rstd (g - mean_c(g) - n mean_c(g n)).
 * With `tangents` dx' += as well, and instead of dweight and dbias their tangents.
 */
export function layernorm_backward(
  dx: usize,
  dweight: usize,
  dbias: usize,
  dout: usize,
  x: usize,
  stats: usize,
  weight: usize,
  rows: i32,
  d: i32,
  tangents: bool,
): void {
  if (tangents) return layernorm_backward_jvp(dx, dweight, dbias, dout, x, stats, weight, rows, d);
  const bytes = (<usize>d) << 2;
  const vectorBytes = (<usize>(d & ~3)) << 2;
  const inverse: f32 = 1 / <f32>d;
  for (let r = 0; r < rows; r++) {
    const mean = load<f32>(stats);
    const rstd = load<f32>(stats, 4);
    const mean4 = splatOnce(mean);
    const rstd4 = splatOnce(rstd);
    let g4 = f32x4.splat(0);
    let gn4 = f32x4.splat(0);
    let c: usize = 0;
    for (; c + STEP <= vectorBytes; c += STEP) {
      const from = x + c,
        gradient = dout + c,
        w = weight + c,
        dw = dweight + c,
        db = dbias + c;
      const n0 = normalised(v128.load(from), mean4, rstd4),
        n1 = normalised(upperHalf(from), mean4, rstd4);
      const dy0 = v128.load(gradient),
        dy1 = upperHalf(gradient);
      const g0 = f32x4.mul(dy0, v128.load(w)),
        g1 = f32x4.mul(dy1, upperHalf(w));
      const dw0 = v128.load(dw),
        dw1 = upperHalf(dw);
      const db0 = v128.load(db),
        db1 = upperHalf(db);
      g4 = addHalves(g4, g0, g1);
      gn4 = maddHalves(g0, n0, g1, n1, gn4);
      storeHalves(dw, madd(dy0, n0, dw0), madd(dy1, n1, dw1));
      storeHalves(db, f32x4.add(dy0, db0), f32x4.add(dy1, db1));
    }
    for (; c < vectorBytes; c += 16) {
      const n = normalised(v128.load(x + c), mean4, rstd4);
      const dy = v128.load(dout + c);
      const g = f32x4.mul(dy, v128.load(weight + c));
      g4 = f32x4.add(g4, g);
      gn4 = madd(g, n, gn4);
      v128.store(dweight + c, madd(dy, n, v128.load(dweight + c)));
      v128.store(dbias + c, f32x4.add(dy, v128.load(dbias + c)));
    }
    let sumG = horizontalSum(g4);
    let sumGN = horizontalSum(gn4);
    for (; c < bytes; c += 4) {
      const n = (load<f32>(x + c) - mean) * rstd;
      const dy = load<f32>(dout + c);
      const g = dy * load<f32>(weight + c);
      sumG += g;
      sumGN += g * n;
      store<f32>(dweight + c, load<f32>(dweight + c) + dy * n);
      store<f32>(dbias + c, load<f32>(dbias + c) + dy);
    }
    const meanG = sumG * inverse;
    const meanGN = sumGN * inverse;
    const meanG4 = splatOnce(meanG);
    const meanGN4 = splatOnce(-meanGN);
    c = 0;
    for (; c + STEP <= vectorBytes; c += STEP) {
      const from = x + c,
        gradient = dout + c,
        w = weight + c,
        to = dx + c;
      const n0 = normalised(v128.load(from), mean4, rstd4),
        n1 = normalised(upperHalf(from), mean4, rstd4);
      const g0 = f32x4.mul(v128.load(gradient), v128.load(w)),
        g1 = f32x4.mul(upperHalf(gradient), upperHalf(w));
      const dx0 = v128.load(to),
        dx1 = upperHalf(to);
      const low = madd(rstd4, madd(n0, meanGN4, f32x4.sub(g0, meanG4)), dx0);
      const high = madd(rstd4, madd(n1, meanGN4, f32x4.sub(g1, meanG4)), dx1);
      storeHalves(to, low, high);
    }
    for (; c < vectorBytes; c += 16) {
      const n = normalised(v128.load(x + c), mean4, rstd4);
      const g = f32x4.mul(v128.load(dout + c), v128.load(weight + c));
      v128.store(dx + c, madd(rstd4, madd(n, meanGN4, f32x4.sub(g, meanG4)), v128.load(dx + c)));
    }
    for (; c < bytes; c += 4) {
      const n = (load<f32>(x + c) - mean) * rstd;
      const g = load<f32>(dout + c) * load<f32>(weight + c);
      store<f32>(dx + c, load<f32>(dx + c) + rstd * (g - meanG - n * meanGN));
    }
    dx += bytes;
    dout += bytes;
    x += bytes;
    stats += 8;
  }
}

/**
 * Tangent of layernorm_forward, which it follows. With n = (x - mean) rstd and c = mean_c(n x'):
 *   n' = rstd (x' - mean_c(x') - n c),  rstd' = -rstd^2 c,  out' = n' w + n w' + b'.
 * The tangent of stats (rows, 2) holds mean_c(x') and c.
 */
function layernorm_jvp(
  out: usize,
  stats: usize,
  x: usize,
  weight: usize,
  bias: usize,
  rows: i32,
  d: i32,
): void {
  const bytes = (<usize>d) << 2;
  const vectorBytes = (<usize>(d & ~3)) << 2;
  const inverse: f32 = 1 / <f32>d;
  const weightTangent = weight + TANGENT;
  const biasTangent = bias + TANGENT;
  for (let r = 0; r < rows; r++) {
    const mean = load<f32>(stats);
    const rstd = load<f32>(stats, 4);
    const xTangent = x + TANGENT;
    const outTangent = out + TANGENT;
    let sum4 = f32x4.splat(0);
    for (let c: usize = 0; c < vectorBytes; c += 16) sum4 = f32x4.add(sum4, v128.load(xTangent + c));
    let sum = horizontalSum(sum4);
    for (let c = vectorBytes; c < bytes; c += 4) sum += load<f32>(xTangent + c);
    const meanTangent = sum * inverse;

    const mean4 = splatOnce(mean);
    const rstd4 = splatOnce(rstd);
    const meanTangent4 = splatOnce(meanTangent);
    let along4 = f32x4.splat(0);
    for (let c: usize = 0; c < vectorBytes; c += 16) {
      const n = f32x4.mul(f32x4.sub(v128.load(x + c), mean4), rstd4);
      along4 = madd(n, f32x4.sub(v128.load(xTangent + c), meanTangent4), along4);
    }
    let along = horizontalSum(along4);
    for (let c = vectorBytes; c < bytes; c += 4) {
      along += (load<f32>(x + c) - mean) * rstd * (load<f32>(xTangent + c) - meanTangent);
    }
    along *= inverse;

    const minusAlong4 = splatOnce(-along);
    for (let c: usize = 0; c < vectorBytes; c += 16) {
      const n = f32x4.mul(f32x4.sub(v128.load(x + c), mean4), rstd4);
      const centred = f32x4.sub(v128.load(xTangent + c), meanTangent4);
      const nTangent = f32x4.mul(madd(n, minusAlong4, centred), rstd4);
      const fromParameters = madd(n, v128.load(weightTangent + c), v128.load(biasTangent + c));
      v128.store(outTangent + c, madd(nTangent, v128.load(weight + c), fromParameters));
    }
    for (let c = vectorBytes; c < bytes; c += 4) {
      const n = (load<f32>(x + c) - mean) * rstd;
      const nTangent = (load<f32>(xTangent + c) - meanTangent - n * along) * rstd;
      const fromParameters = n * load<f32>(weightTangent + c) + load<f32>(biasTangent + c);
      store<f32>(outTangent + c, nTangent * load<f32>(weight + c) + fromParameters);
    }
    store<f32>(stats + TANGENT, meanTangent);
    store<f32>(stats + TANGENT, along, 4);
    x += bytes;
    out += bytes;
    stats += 8;
  }
}

/**
 * layernorm_backward and its tangent: dx += and dx' += (rows, d); of the parameters only the tangents of the gradients,
 * dweight' and dbias' (d) +=. With h = g - mean_c(g) - n mean_c(g n), so that dx = rstd h:
 *   g' = dout' w + dout w',  dx' = rstd (g' - mean_c(g') - n' mean_c(g n) - n mean_c(g' n + g n') - rstd c h).
 */
function layernorm_backward_jvp(
  dx: usize,
  dweightTangent: usize,
  dbiasTangent: usize,
  dout: usize,
  x: usize,
  stats: usize,
  weight: usize,
  rows: i32,
  d: i32,
): void {
  const bytes = (<usize>d) << 2;
  const vectorBytes = (<usize>(d & ~3)) << 2;
  const inverse: f32 = 1 / <f32>d;
  const weightTangent = weight + TANGENT;
  for (let r = 0; r < rows; r++) {
    const mean = load<f32>(stats);
    const rstd = load<f32>(stats, 4);
    const meanTangent = load<f32>(stats + TANGENT);
    const along = load<f32>(stats + TANGENT, 4);
    const xTangent = x + TANGENT;
    const doutTangent = dout + TANGENT;
    const mean4 = splatOnce(mean);
    const rstd4 = splatOnce(rstd);
    const meanTangent4 = splatOnce(meanTangent);
    const minusAlong4 = splatOnce(-along);
    let g4 = f32x4.splat(0);
    let gn4 = f32x4.splat(0);
    let gTangent4 = f32x4.splat(0);
    let gnTangent4 = f32x4.splat(0);
    for (let c: usize = 0; c < vectorBytes; c += 16) {
      const n = f32x4.mul(f32x4.sub(v128.load(x + c), mean4), rstd4);
      const nTangent = f32x4.mul(
        madd(n, minusAlong4, f32x4.sub(v128.load(xTangent + c), meanTangent4)),
        rstd4,
      );
      const dy = v128.load(dout + c);
      const dyTangent = v128.load(doutTangent + c);
      const w = v128.load(weight + c);
      const g = f32x4.mul(dy, w);
      const gTangent = madd(dyTangent, w, f32x4.mul(dy, v128.load(weightTangent + c)));
      g4 = f32x4.add(g4, g);
      gn4 = madd(g, n, gn4);
      gTangent4 = f32x4.add(gTangent4, gTangent);
      gnTangent4 = madd(gTangent, n, madd(g, nTangent, gnTangent4));
      v128.store(dweightTangent + c, madd(dyTangent, n, madd(dy, nTangent, v128.load(dweightTangent + c))));
      v128.store(dbiasTangent + c, f32x4.add(dyTangent, v128.load(dbiasTangent + c)));
    }
    let sumG = horizontalSum(g4);
    let sumGN = horizontalSum(gn4);
    let sumGTangent = horizontalSum(gTangent4);
    let sumGNTangent = horizontalSum(gnTangent4);
    for (let c = vectorBytes; c < bytes; c += 4) {
      const n = (load<f32>(x + c) - mean) * rstd;
      const nTangent = (load<f32>(xTangent + c) - meanTangent - n * along) * rstd;
      const dy = load<f32>(dout + c);
      const dyTangent = load<f32>(doutTangent + c);
      const g = dy * load<f32>(weight + c);
      const gTangent = dyTangent * load<f32>(weight + c) + dy * load<f32>(weightTangent + c);
      sumG += g;
      sumGN += g * n;
      sumGTangent += gTangent;
      sumGNTangent += gTangent * n + g * nTangent;
      store<f32>(dweightTangent + c, load<f32>(dweightTangent + c) + dyTangent * n + dy * nTangent);
      store<f32>(dbiasTangent + c, load<f32>(dbiasTangent + c) + dyTangent);
    }
    const meanG = sumG * inverse;
    const meanGN = sumGN * inverse;
    const meanGTangent = sumGTangent * inverse;
    const meanGNTangent = sumGNTangent * inverse;
    const meanG4 = splatOnce(meanG);
    const meanGN4 = splatOnce(-meanGN);
    const meanGTangent4 = splatOnce(meanGTangent);
    const meanGNTangent4 = splatOnce(-meanGNTangent);
    const shrink4 = splatOnce(-rstd * along);
    const dxTangent = dx + TANGENT;
    for (let c: usize = 0; c < vectorBytes; c += 16) {
      const n = f32x4.mul(f32x4.sub(v128.load(x + c), mean4), rstd4);
      const nTangent = f32x4.mul(
        madd(n, minusAlong4, f32x4.sub(v128.load(xTangent + c), meanTangent4)),
        rstd4,
      );
      const dy = v128.load(dout + c);
      const w = v128.load(weight + c);
      const gTangent = madd(v128.load(doutTangent + c), w, f32x4.mul(dy, v128.load(weightTangent + c)));
      const h = madd(n, meanGN4, f32x4.sub(f32x4.mul(dy, w), meanG4));
      let hTangent = madd(nTangent, meanGN4, f32x4.sub(gTangent, meanGTangent4));
      hTangent = madd(h, shrink4, madd(n, meanGNTangent4, hTangent));
      v128.store(dx + c, madd(rstd4, h, v128.load(dx + c)));
      v128.store(dxTangent + c, madd(rstd4, hTangent, v128.load(dxTangent + c)));
    }
    for (let c = vectorBytes; c < bytes; c += 4) {
      const n = (load<f32>(x + c) - mean) * rstd;
      const nTangent = (load<f32>(xTangent + c) - meanTangent - n * along) * rstd;
      const dy = load<f32>(dout + c);
      const gTangent = load<f32>(doutTangent + c) * load<f32>(weight + c) + dy * load<f32>(weightTangent + c);
      const h = dy * load<f32>(weight + c) - meanG - n * meanGN;
      const hTangent = gTangent - meanGTangent - nTangent * meanGN - n * meanGNTangent - rstd * along * h;
      store<f32>(dx + c, load<f32>(dx + c) + rstd * h);
      store<f32>(dxTangent + c, load<f32>(dxTangent + c) + rstd * hTangent);
    }
    dx += bytes;
    dout += bytes;
    x += bytes;
    stats += 8;
  }
}
