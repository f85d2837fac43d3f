// max(x, 0). Its slope can be read off the output as well, which therefore takes the input's place.
import { TANGENT } from "../../tangent";

export const KEEPS_INPUT: bool = false;

/** out = max(x, 0). */
export function forward(out: usize, x: usize, n: i32): void {
  const end = x + (<usize>n << 2);
  const zero = f32x4.splat(0);
  for (; x < end; x += 16) {
    v128.store(out, f32x4.pmax(v128.load(x), zero));
    out += 16;
  }
}

/** dout is set to 0 where x, input or output, is not positive, in place. */
export function backward(dout: usize, x: usize, n: i32): void {
  const end = x + (<usize>n << 2);
  const zero = f32x4.splat(0);
  for (; x < end; x += 16) {
    v128.store(dout, v128.and(v128.load(dout), f32x4.gt(v128.load(x), zero)));
    dout += 16;
  }
}

/** backward and its tangent, in place: the mask is constant. */
export function backward_jvp(dout: usize, x: usize, n: i32): void {
  backward(dout, x, n);
  backward(dout + TANGENT, x, n);
}
