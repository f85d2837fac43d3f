import { type LaplaceMethodOptions, laplaceMethod } from "../laplace/method.ts";
import type { MethodDefinition } from "./method.ts";

export const laplaceLastLayer = {
  name: "laplace-last-layer",
  label: "last layer",
  summary: "Laplace on the unembedding alone, Kronecker-factored",
  byDefault: true,
  needs: { checkpoints: "one", data: true, model: { optimizer: "none" } },
  ...laplaceMethod("laplace-last-layer", { subsetOfWeights: "lastLayer", hessianStructure: "kron" }),
  settings: [],
  options: () => ({}),
} as const satisfies MethodDefinition<"laplace-last-layer", LaplaceMethodOptions, { optimizer: "none" }>;
