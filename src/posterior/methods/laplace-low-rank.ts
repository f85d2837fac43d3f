import { type LaplaceMethodOptions, laplaceMethod, priorOptions } from "../laplace/method.ts";
import type { MethodDefinition } from "./method.ts";

export const laplaceLowRank = {
  name: "laplace-low-rank",
  label: "low rank",
  summary: "Laplace on all parameters: top eigenpairs, and one value for the rest",
  byDefault: true,
  needs: { checkpoints: "one", data: true, model: { optimizer: "none", curvature: true } },
  ...laplaceMethod("laplace-low-rank", { subsetOfWeights: "all", hessianStructure: "lowRank" }),
  // Stated, so that results under another default of the library would not pass for these.
  options: (settings) => ({ remainder: "trace", ...priorOptions(settings) }),
  settings: ["priorStructure"],
} as const satisfies MethodDefinition<
  "laplace-low-rank",
  LaplaceMethodOptions,
  { optimizer: "none"; curvature: true }
>;
