import { type LaplaceMethodOptions, laplaceMethod } from "../laplace/method.ts";
import type { MethodDefinition } from "./method.ts";

export const laplaceDiagonal = {
  name: "laplace-diagonal",
  label: "diagonal",
  summary: "Laplace on all parameters, without any correlation",
  byDefault: false,
  needs: { checkpoints: "one", data: true, model: { optimizer: "none", curvature: true } },
  ...laplaceMethod({ subsetOfWeights: "all", hessianStructure: "diag" }),
  options: () => ({}),
} as const satisfies MethodDefinition<
  "laplace-diagonal",
  LaplaceMethodOptions,
  { optimizer: "none"; curvature: true }
>;
