// SiLU: x s with s = sigmoid(x) = 1 / (1 + e^-x). Slopes use 1 - s = e^-x s, which does not cancel.
import { exp4, madd, splatOnce } from "../../simd";
import { TANGENT } from "../../tangent";

export const KEEPS_INPUT: bool = true;

/** out = x s. */
export function forward(out: usize, x: usize, n: i32): void {
  const end = x + (<usize>n << 2);
  const one = splatOnce(1);
  for (; x < end; x += 16) {
    const value = v128.load(x);
    v128.store(out, f32x4.div(value, f32x4.add(one, exp4(f32x4.neg(value)))));
    out += 16;
  }
}

/** dout *= silu'(x), in place: silu' = s (1 + x (1 - s)). */
export function backward(dout: usize, x: usize, n: i32): void {
  const end = x + (<usize>n << 2);
  const one = splatOnce(1);
  for (; x < end; x += 16) {
    const value = v128.load(x);
    const e = exp4(f32x4.neg(value));
    const s = f32x4.div(one, f32x4.add(one, e));
    const slope = f32x4.mul(s, madd(value, f32x4.mul(e, s), one));
    v128.store(dout, f32x4.mul(v128.load(dout), slope));
    dout += 16;
  }
}

/** backward and its tangent, in place: dout' = silu'(x) dout' + silu''(x) x' dout, silu'' = s (1 - s) (2 + x (1 - 2s)). */
export function backward_jvp(dout: usize, x: usize, n: i32): void {
  const end = x + (<usize>n << 2);
  const one = splatOnce(1);
  const two = splatOnce(2);
  for (; x < end; x += 16) {
    const value = v128.load(x);
    const e = exp4(f32x4.neg(value));
    const s = f32x4.div(one, f32x4.add(one, e));
    const rest = f32x4.mul(e, s);
    const slope = f32x4.mul(s, madd(value, rest, one));
    const bend = f32x4.mul(f32x4.mul(s, rest), madd(value, f32x4.sub(rest, s), two));
    const dy = v128.load(dout);
    const change = f32x4.mul(bend, f32x4.mul(v128.load(x + TANGENT), dy));
    v128.store(dout + TANGENT, madd(v128.load(dout + TANGENT), slope, change));
    v128.store(dout, f32x4.mul(dy, slope));
    dout += 16;
  }
}
