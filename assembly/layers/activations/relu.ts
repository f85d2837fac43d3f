// max(x, 0). Its slope can be read off the output as well, which therefore takes the input's place.
import { STEP, storeHalves, upperHalf } from "../../simd";
import { TANGENT } from "../../tangent";

export const KEEPS_INPUT: bool = false;

/** out = max(x, 0). */
export function forward(out: usize, x: usize, n: i32): void {
  const end = x + ((<usize>n) << 2);
  const zero = f32x4.splat(0);
  for (; x < end; x += STEP) {
    storeHalves(out, f32x4.pmax(v128.load(x), zero), f32x4.pmax(upperHalf(x), zero));
    out += STEP;
  }
}

/** dout is set to 0 where x, input or output, is not positive, in place. */
export function backward(dout: usize, x: usize, n: i32): void {
  const end = x + ((<usize>n) << 2);
  const zero = f32x4.splat(0);
  for (; x < end; x += STEP) {
    const mask0 = f32x4.gt(v128.load(x), zero),
      mask1 = f32x4.gt(upperHalf(x), zero);
    storeHalves(dout, v128.and(v128.load(dout), mask0), v128.and(upperHalf(dout), mask1));
    dout += STEP;
  }
}

/** backward and its tangent, in place: the mask is constant. */
export function backward_jvp(dout: usize, x: usize, n: i32): void {
  backward(dout, x, n);
  backward(dout + TANGENT, x, n);
}
