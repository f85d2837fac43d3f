// SiLU: x s with s = sigmoid(x) = 1 / (1 + e^-x). Slopes use 1 - s = e^-x s, which does not cancel.
import { STEP, exp4, madd, splatOnce, storeHalves, upperHalf } from "../../simd";
import { TANGENT } from "../../tangent";

export const KEEPS_INPUT: bool = true;

// @ts-ignore: decorator
@inline
function silu(x: v128, one: v128): v128 {
  return f32x4.div(x, f32x4.add(one, exp4(f32x4.neg(x))));
}

/** out = x s. */
export function forward(out: usize, x: usize, n: i32): void {
  const end = x + ((<usize>n) << 2);
  const one = splatOnce(1);
  for (; x < end; x += STEP) {
    const x0 = v128.load(x),
      x1 = upperHalf(x);
    storeHalves(out, silu(x0, one), silu(x1, one));
    out += STEP;
  }
}

/** silu' = s (1 + x (1 - s)) with e = e^-x. */
// @ts-ignore: decorator
@inline
function slope(x: v128, e: v128, one: v128): v128 {
  const s = f32x4.div(one, f32x4.add(one, e));
  return f32x4.mul(s, madd(x, f32x4.mul(e, s), one));
}

/** dout *= silu'(x), in place. */
export function backward(dout: usize, x: usize, n: i32): void {
  const end = x + ((<usize>n) << 2);
  const one = splatOnce(1);
  for (; x < end; x += STEP) {
    const x0 = v128.load(x),
      x1 = upperHalf(x);
    const dy0 = v128.load(dout),
      dy1 = upperHalf(dout);
    const slope0 = slope(x0, exp4(f32x4.neg(x0)), one),
      slope1 = slope(x1, exp4(f32x4.neg(x1)), one);
    storeHalves(dout, f32x4.mul(dy0, slope0), f32x4.mul(dy1, slope1));
    dout += STEP;
  }
}

/** silu'' = s (1 - s) (2 + x (1 - 2s)). */
// @ts-ignore: decorator
@inline
function bend(x: v128, e: v128, one: v128, two: v128): v128 {
  const s = f32x4.div(one, f32x4.add(one, e));
  const rest = f32x4.mul(e, s);
  return f32x4.mul(f32x4.mul(s, rest), madd(x, f32x4.sub(rest, s), two));
}

/** backward and its tangent, in place: dout' = silu'(x) dout' + silu''(x) x' dout. */
export function backward_jvp(dout: usize, x: usize, n: i32): void {
  const end = x + ((<usize>n) << 2);
  const one = splatOnce(1);
  const two = splatOnce(2);
  for (; x < end; x += STEP) {
    const xTangent = x + TANGENT,
      doutTangent = dout + TANGENT;
    const x0 = v128.load(x),
      x1 = upperHalf(x);
    const dy0 = v128.load(dout),
      dy1 = upperHalf(dout);
    const e0 = exp4(f32x4.neg(x0)),
      e1 = exp4(f32x4.neg(x1));
    const change0 = f32x4.mul(bend(x0, e0, one, two), f32x4.mul(v128.load(xTangent), dy0));
    const change1 = f32x4.mul(bend(x1, e1, one, two), f32x4.mul(upperHalf(xTangent), dy1));
    const slope0 = slope(x0, e0, one),
      slope1 = slope(x1, e1, one);
    const tangent0 = madd(v128.load(doutTangent), slope0, change0);
    const tangent1 = madd(upperHalf(doutTangent), slope1, change1);
    storeHalves(doutTangent, tangent0, tangent1);
    storeHalves(dout, f32x4.mul(dy0, slope0), f32x4.mul(dy1, slope1));
    dout += STEP;
  }
}
