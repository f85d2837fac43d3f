// GELU in its tanh form: x/2 (1 + tanh u) with u = sqrt(2/pi) (x + 0.044715 x^3).
import { STEP, madd, splatOnce, storeHalves, tanh4, upperHalf } from "../../simd";
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

// @ts-ignore: decorator
@inline
function gelu(x: v128): v128 {
  const half = f32x4.mul(x, f32x4.splat(0.5));
  return madd(half, tanhArgument(x), half);
}

/** out = gelu(x). */
export function forward(out: usize, x: usize, n: i32): void {
  const end = x + ((<usize>n) << 2);
  for (; x < end; x += STEP) {
    const x0 = v128.load(x),
      x1 = upperHalf(x);
    storeHalves(out, gelu(x0), gelu(x1));
    out += STEP;
  }
}

/** u'. */
// @ts-ignore: decorator
@inline
function argumentSlope(x: v128): v128 {
  return madd(f32x4.mul(x, x), f32x4.splat(3 * CUBIC * SQRT_2_OVER_PI), f32x4.splat(SQRT_2_OVER_PI));
}

/** gelu' = (1 + t)/2 + x/2 (1 - t^2) u' with t = tanh u. */
// @ts-ignore: decorator
@inline
function slope(x: v128, t: v128, half: v128, one: v128): v128 {
  const sech2 = f32x4.sub(one, f32x4.mul(t, t));
  return madd(f32x4.mul(f32x4.mul(x, half), sech2), argumentSlope(x), madd(t, half, half));
}

/** dout *= gelu'(x), in place. */
export function backward(dout: usize, x: usize, n: i32): void {
  const end = x + ((<usize>n) << 2);
  const half = splatOnce(0.5);
  const one = splatOnce(1);
  for (; x < end; x += STEP) {
    const x0 = v128.load(x),
      x1 = upperHalf(x);
    const dy0 = v128.load(dout),
      dy1 = upperHalf(dout);
    const slope0 = slope(x0, tanhArgument(x0), half, one),
      slope1 = slope(x1, tanhArgument(x1), half, one);
    storeHalves(dout, f32x4.mul(dy0, slope0), f32x4.mul(dy1, slope1));
    dout += STEP;
  }
}

/** gelu'' = (1 - t^2) (u' + x/2 u'' - x t u'^2). */
// @ts-ignore: decorator
@inline
function bend(x: v128, t: v128, half: v128, one: v128, curvature: v128): v128 {
  const du = argumentSlope(x);
  const sech2 = f32x4.sub(one, f32x4.mul(t, t));
  const fromArgument = madd(f32x4.mul(x, half), f32x4.mul(x, curvature), du);
  return f32x4.mul(sech2, f32x4.sub(fromArgument, f32x4.mul(f32x4.mul(x, t), f32x4.mul(du, du))));
}

/** backward and its tangent, in place: dout' = gelu'(x) dout' + gelu''(x) x' dout. */
export function backward_jvp(dout: usize, x: usize, n: i32): void {
  const end = x + ((<usize>n) << 2);
  const half = splatOnce(0.5);
  const one = splatOnce(1);
  const curvature = splatOnce(6 * CUBIC * SQRT_2_OVER_PI);
  for (; x < end; x += STEP) {
    const xTangent = x + TANGENT,
      doutTangent = dout + TANGENT;
    const x0 = v128.load(x),
      x1 = upperHalf(x);
    const dy0 = v128.load(dout),
      dy1 = upperHalf(dout);
    const t0 = tanhArgument(x0),
      t1 = tanhArgument(x1);
    const change0 = f32x4.mul(bend(x0, t0, half, one, curvature), f32x4.mul(v128.load(xTangent), dy0));
    const change1 = f32x4.mul(bend(x1, t1, half, one, curvature), f32x4.mul(upperHalf(xTangent), dy1));
    const slope0 = slope(x0, t0, half, one),
      slope1 = slope(x1, t1, half, one);
    const tangent0 = madd(v128.load(doutTangent), slope0, change0);
    const tangent1 = madd(upperHalf(doutTangent), slope1, change1);
    storeHalves(doutTangent, tangent0, tangent1);
    storeHalves(dout, f32x4.mul(dy0, slope0), f32x4.mul(dy1, slope1));
    dout += STEP;
  }
}
