/** A deep ensemble: the members of the run at one step (Lakshminarayanan, Pritzel and Blundell, arXiv 1612.01474). */
import { EmpiricalPosterior } from "../empirical.ts";
import type { MethodDefinition } from "./method.ts";

export const ensemble = {
  name: "ensemble",
  label: "ensemble",
  summary: "the members of the run, each once",
  fits: "nothing",
  byDefault: true,
  needs: { checkpoints: "members", data: false, model: { optimizer: "none" } },
  defaults: {},
  options: () => ({}),
  fit: ({ checkpoints }) => ({ posterior: new EmpiricalPosterior("ensemble", checkpoints) }),
  load: EmpiricalPosterior.load,
} as const satisfies MethodDefinition<"ensemble", Record<string, never>, { optimizer: "none" }>;
