import { type LaplaceMethodOptions, laplaceMethod, priorOptions } from "../laplace/method.ts";
import type { MethodDefinition } from "./method.ts";

export const laplaceDiagonal = {
  name: "laplace-diagonal",
  label: "diagonal",
  summary: "Laplace on all parameters, without any correlation",
  byDefault: false,
  needs: { checkpoints: "one", data: true, model: { optimizer: "none", curvature: true } },
  ...laplaceMethod("laplace-diagonal", { subsetOfWeights: "all", hessianStructure: "diag" }),
  settings: ["priorStructure"],
  options: priorOptions,
} as const satisfies MethodDefinition<
  "laplace-diagonal",
  LaplaceMethodOptions,
  { optimizer: "none"; curvature: true }
>;
