/** How an uncertainty falls from its peak. */

/** The fall from 90 % of the peak to the collapse line, in steps, interpolated linearly between evaluations. */
export interface Fall {
  start: number;
  end: number;
  /** end - start: the smaller, the sharper the collapse. */
  steps: number;
}

/** Start of the fall, as a fraction of the peak. */
export const FALL_START = 0.9;

/** A value at a training step. */
export interface StepValue {
  step: number;
  value: number;
}

/** The step at which the line from `a` to `b` passes `level`, which lies between their values. */
export function crossing(a: StepValue, b: StepValue, level: number): number {
  return a.step + ((a.value - level) / (a.value - b.value)) * (b.step - a.step);
}
