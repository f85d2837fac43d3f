// GELU in its tanh form: x/2 (1 + tanh u) with u = sqrt(2/pi) (x + 0.044715 x^3).
import { madd, splatOnce, tanh4 } from "../../simd";
import { TANGENT } from "../../tangent";

export const KEEPS_INPUT: bool = true;

const SQRT_2_OVER_PI: f32 = 0.7978845608028654;
const CUBIC: f32 = 0.044715;

/** tanh u. */
// @ts-ignore: decorator
@inline
function tanhArgument(x: v128): v128 {
  const cubic = madd(f32x4.mul(f32x4.mul(x, x), f32x4.splat(CUBIC)), x, x);
  return tanh4(f32x4.mul(cubic, f32x4.splat(SQRT_2_OVER_PI)));
}

/** out = gelu(x). */
export function forward(out: usize, x: usize, n: i32): void {
  const end = x + (<usize>n << 2);
  for (; x < end; x += 16) {
    const value = v128.load(x);
    const half = f32x4.mul(value, f32x4.splat(0.5));
    v128.store(out, madd(half, tanhArgument(value), half));
    out += 16;
  }
}

/** dout *= gelu'(x), in place: gelu' = (1 + tanh u)/2 + x/2 (1 - tanh^2 u) u'. */
export function backward(dout: usize, x: usize, n: i32): void {
  const end = x + (<usize>n << 2);
  const half = splatOnce(0.5);
  const one = splatOnce(1);
  for (; x < end; x += 16) {
    const value = v128.load(x);
    const t = tanhArgument(value);
    const du = madd(f32x4.mul(value, value), f32x4.splat(3 * CUBIC * SQRT_2_OVER_PI), f32x4.splat(SQRT_2_OVER_PI));
    const sech2 = f32x4.sub(one, f32x4.mul(t, t));
    const slope = madd(f32x4.mul(f32x4.mul(value, half), sech2), du, madd(t, half, half));
    v128.store(dout, f32x4.mul(v128.load(dout), slope));
    dout += 16;
  }
}

/**
 * backward and its tangent, in place: dout' = gelu'(x) dout' + gelu''(x) x' dout.
 * gelu'' = (1 - tanh^2 u) (u' + x/2 u'' - x tanh u u'^2).
 */
export function backward_jvp(dout: usize, x: usize, n: i32): void {
  const end = x + (<usize>n << 2);
  const half = splatOnce(0.5);
  const one = splatOnce(1);
  const curvature = splatOnce(6 * CUBIC * SQRT_2_OVER_PI);
  for (; x < end; x += 16) {
    const value = v128.load(x);
    const t = tanhArgument(value);
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
