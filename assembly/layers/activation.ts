// The MLP's activation, elementwise over n floats (buffers have slack: the last vector may run past n).
import { TANGENT } from "../layout";
import { madd, splatOnce, tanh4 } from "../simd";

const SQRT_2_OVER_PI: f32 = 0.7978845608028654;
const CUBIC: f32 = 0.044715;

/** x = max(x, 0) in place. */
export function relu_forward(x: usize, n: i32): void {
  const end = x + (<usize>n << 2);
  const zero = f32x4.splat(0);
  for (; x < end; x += 16) v128.store(x, f32x4.pmax(v128.load(x), zero));
}

/** dout is set to 0 where the output was 0, in place. */
export function relu_backward(dout: usize, out: usize, n: i32): void {
  const end = out + (<usize>n << 2);
  const zero = f32x4.splat(0);
  for (; out < end; out += 16) {
    v128.store(dout, v128.and(v128.load(dout), f32x4.gt(v128.load(out), zero)));
    dout += 16;
  }
}

/** tanh of sqrt(2/pi) (x + 0.044715 x^3). */
// @ts-ignore: decorator
@inline
function geluTanh(x: v128): v128 {
  const cubic = madd(f32x4.mul(f32x4.mul(x, x), f32x4.splat(CUBIC)), x, x);
  return tanh4(f32x4.mul(cubic, f32x4.splat(SQRT_2_OVER_PI)));
}

/** out = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). */
export function gelu_forward(out: usize, x: usize, n: i32): void {
  const end = x + (<usize>n << 2);
  for (; x < end; x += 16) {
    const value = v128.load(x);
    const half = f32x4.mul(value, f32x4.splat(0.5));
    v128.store(out, madd(half, geluTanh(value), half));
    out += 16;
  }
}

/** dout *= gelu'(x), in place. With u the argument of tanh: gelu' = (1 + tanh u)/2 + x/2 (1 - tanh^2 u) u'. */
export function gelu_backward(dout: usize, x: usize, n: i32): void {
  const end = x + (<usize>n << 2);
  const half = splatOnce(0.5);
  const one = splatOnce(1);
  for (; x < end; x += 16) {
    const value = v128.load(x);
    const t = geluTanh(value);
    const du = madd(f32x4.mul(value, value), f32x4.splat(3 * CUBIC * SQRT_2_OVER_PI), f32x4.splat(SQRT_2_OVER_PI));
    const sech2 = f32x4.sub(one, f32x4.mul(t, t));
    const slope = madd(f32x4.mul(f32x4.mul(value, half), sech2), du, madd(t, half, half));
    v128.store(dout, f32x4.mul(v128.load(dout), slope));
    dout += 16;
  }
}

/** Tangent of gelu_forward: out' = gelu'(x) x'. */
export function gelu_jvp(out: usize, x: usize, n: i32): void {
  memory.copy(out + TANGENT, x + TANGENT, <usize>n << 2);
  gelu_backward(out + TANGENT, x, n);
}

/**
 * gelu_backward and its tangent, in place: dout' = gelu'(x) dout' + gelu''(x) x' dout.
 * gelu'' = (1 - tanh^2 u) (u' + x/2 u'' - x tanh u u'^2).
 */
export function gelu_backward_jvp(dout: usize, x: usize, n: i32): void {
  const end = x + (<usize>n << 2);
  const half = splatOnce(0.5);
  const one = splatOnce(1);
  const curvature = splatOnce(6 * CUBIC * SQRT_2_OVER_PI);
  for (; x < end; x += 16) {
    const value = v128.load(x);
    const t = geluTanh(value);
    const du = madd(f32x4.mul(value, value), f32x4.splat(3 * CUBIC * SQRT_2_OVER_PI), f32x4.splat(SQRT_2_OVER_PI));
    const sech2 = f32x4.sub(one, f32x4.mul(t, t));
    const halfValue = f32x4.mul(value, half);
    const slope = madd(f32x4.mul(halfValue, sech2), du, madd(t, half, half));
    const d2u = f32x4.mul(value, curvature);
    const bend = f32x4.sub(madd(halfValue, d2u, du), f32x4.mul(f32x4.mul(value, t), f32x4.mul(du, du)));
    const dy = v128.load(dout);
    const change = f32x4.mul(f32x4.mul(sech2, bend), f32x4.mul(v128.load(x + TANGENT), dy));
    v128.store(dout + TANGENT, madd(v128.load(dout + TANGENT), slope, change));
    v128.store(dout, f32x4.mul(dy, slope));
    dout += 16;
  }
}

/** Tangent of relu_forward, in place on out': the mask is its own tangent. */
export function relu_jvp(out: usize, n: i32): void {
  relu_backward(out + TANGENT, out, n);
}

/** relu_backward and its tangent, in place. */
export function relu_backward_jvp(dout: usize, out: usize, n: i32): void {
  relu_backward(dout, out, n);
  relu_backward(dout + TANGENT, out, n);
}
