import { type LaplaceMethodOptions, laplaceMethod, priorOptions } from "../laplace/method.ts";
import type { MethodDefinition } from "./method.ts";

export const laplaceKfac = {
  name: "laplace-kfac",
  label: "KFAC",
  summary: "Laplace on all parameters, a Kronecker product for each weight matrix",
  byDefault: true,
  needs: { checkpoints: "one", data: true, model: { optimizer: "none", curvature: true, kronecker: true } },
  ...laplaceMethod("laplace-kfac", { subsetOfWeights: "all", hessianStructure: "kron" }),
  settings: ["priorStructure"],
  options: priorOptions,
} as const satisfies MethodDefinition<
  "laplace-kfac",
  LaplaceMethodOptions,
  { optimizer: "none"; curvature: true; kronecker: true }
>;
