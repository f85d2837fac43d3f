// LayerNorm over the last dimension, eps 1e-5, biased variance: out = (x - mean) rstd w + b.
import { horizontalSum, madd } from "../simd";

const EPSILON: f32 = 1e-5;

/** out (rows, d), stats (rows, 2) = mean, rstd  <-  x (rows, d), weight (d), bias (d). */
export function layernorm_forward(
  out: usize, stats: usize, x: usize, weight: usize, bias: usize, rows: i32, d: i32,
): void {
  const bytes = <usize>d << 2;
  const vectorBytes = <usize>(d & ~3) << 2;
  const inverse: f32 = 1 / <f32>d;
  for (let r = 0; r < rows; r++) {
    let sum4 = f32x4.splat(0);
    for (let c: usize = 0; c < vectorBytes; c += 16) sum4 = f32x4.add(sum4, v128.load(x + c));
    let sum = horizontalSum(sum4);
    for (let c = vectorBytes; c < bytes; c += 4) sum += load<f32>(x + c);
    const mean = sum * inverse;

    const mean4 = f32x4.splat(mean);
    let squares4 = f32x4.splat(0);
    for (let c: usize = 0; c < vectorBytes; c += 16) {
      const centred = f32x4.sub(v128.load(x + c), mean4);
      squares4 = madd(centred, centred, squares4);
    }
    let squares = horizontalSum(squares4);
    for (let c = vectorBytes; c < bytes; c += 4) {
      const centred = load<f32>(x + c) - mean;
      squares += centred * centred;
    }
    const rstd: f32 = 1 / Mathf.sqrt(squares * inverse + EPSILON);

    const rstd4 = f32x4.splat(rstd);
    for (let c: usize = 0; c < vectorBytes; c += 16) {
      const normalised = f32x4.mul(f32x4.sub(v128.load(x + c), mean4), rstd4);
      v128.store(out + c, madd(normalised, v128.load(weight + c), v128.load(bias + c)));
    }
    for (let c = vectorBytes; c < bytes; c += 4) {
      store<f32>(out + c, (load<f32>(x + c) - mean) * rstd * load<f32>(weight + c) + load<f32>(bias + c));
    }
    store<f32>(stats, mean);
    store<f32>(stats, rstd, 4);
    x += bytes;
    out += bytes;
    stats += 8;
  }
}

/**
 * dx (rows, d) += and dweight, dbias (d) +=  <-  dout (rows, d), x (rows, d), stats (rows, 2), weight (d).
 * With n = (x - mean) rstd and g = dout w:  dx = rstd (g - mean_c(g) - n mean_c(g n)).
 */
export function layernorm_backward(
  dx: usize, dweight: usize, dbias: usize, dout: usize, x: usize, stats: usize, weight: usize, rows: i32, d: i32,
): void {
  const bytes = <usize>d << 2;
  const vectorBytes = <usize>(d & ~3) << 2;
  const inverse: f32 = 1 / <f32>d;
  for (let r = 0; r < rows; r++) {
    const mean = load<f32>(stats);
    const rstd = load<f32>(stats, 4);
    const mean4 = f32x4.splat(mean);
    const rstd4 = f32x4.splat(rstd);
    let g4 = f32x4.splat(0);
    let gn4 = f32x4.splat(0);
    for (let c: usize = 0; c < vectorBytes; c += 16) {
      const n = f32x4.mul(f32x4.sub(v128.load(x + c), mean4), rstd4);
      const dy = v128.load(dout + c);
      const g = f32x4.mul(dy, v128.load(weight + c));
      g4 = f32x4.add(g4, g);
      gn4 = madd(g, n, gn4);
      v128.store(dweight + c, madd(dy, n, v128.load(dweight + c)));
      v128.store(dbias + c, f32x4.add(dy, v128.load(dbias + c)));
    }
    let sumG = horizontalSum(g4);
    let sumGN = horizontalSum(gn4);
    for (let c = vectorBytes; c < bytes; c += 4) {
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
    const meanG4 = f32x4.splat(meanG);
    const meanGN4 = f32x4.splat(-meanGN);
    for (let c: usize = 0; c < vectorBytes; c += 16) {
      const n = f32x4.mul(f32x4.sub(v128.load(x + c), mean4), rstd4);
      const g = f32x4.mul(v128.load(dout + c), v128.load(weight + c));
      v128.store(dx + c, madd(rstd4, madd(n, meanGN4, f32x4.sub(g, meanG4)), v128.load(dx + c)));
    }
    for (let c = vectorBytes; c < bytes; c += 4) {
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
