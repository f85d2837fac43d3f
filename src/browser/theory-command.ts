/** The command that repeats what the sliders show. */
import type { NoiseMode } from "../theory/modes.ts";

/** What the sliders say. */
export interface TheoryParameters {
  noise: NoiseMode;
  lambda: number;
  sn2: number;
  u0: number;
  level: number;
}

/** Dimension of the finite draw, the first of seed 0. */
export const DIMENSION = 50;

/** @param finite whether the draw is shown */
export function theoryCommand({ noise, lambda, sn2, u0, level }: TheoryParameters, finite: boolean): string {
  const model = `--lambda ${lambda} --noise ${noise} --label-noise ${sn2} --u0 ${u0} --level ${level}`;
  return `npx epigrok theory ${model} --no-regression ${finite ? `-d ${DIMENSION} --draws 1` : "--no-simulate"}`;
}
