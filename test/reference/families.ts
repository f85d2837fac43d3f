/** The families written out anew: what each coefficient of a task multiplies. A constant, which multiplies 1, comes last. */
import type { FamilyName } from "../../src/tasks/families/index.ts";

interface ReferenceFamily {
  fewestVariables: number;
  /** By number of variables, from one on; undefined where there is no such family. */
  features: readonly (((input: readonly number[]) => number[]) | undefined)[];
}

export const REFERENCE_FAMILIES: Record<FamilyName, ReferenceFamily> = {
  linear: { fewestVariables: 1, features: [(u) => u.slice(), (u) => u.slice(), (u) => u.slice()] },
  bilinear: {
    fewestVariables: 2,
    features: [undefined, ([x, y]) => [x, y, x * y], ([x, y, z]) => [x, y, z, x * y, x * z, y * z]],
  },
};

export interface ReferenceShape {
  family: FamilyName;
  modulus: number;
  variables: number;
  constantTerm: boolean;
}

/** What the task vector is multiplied with, modulo p. */
export function featuresAt(
  { family, modulus, variables, constantTerm }: ReferenceShape,
  input: readonly number[],
) {
  const features = REFERENCE_FAMILIES[family].features[variables - 1]!(input);
  return [...features, ...(constantTerm ? [1] : [])].map((value) => value % modulus);
}

export const taskLengthOf = (shape: ReferenceShape) =>
  featuresAt(shape, new Array<number>(shape.variables).fill(0)).length;

/** z, with big integers. */
export function outputOf(shape: ReferenceShape, task: readonly number[], input: readonly number[]): number {
  const features = featuresAt(shape, input);
  const sum = task.reduce((total, a, i) => total + BigInt(a) * BigInt(features[i]), 0n);
  return Number(sum % BigInt(shape.modulus));
}
