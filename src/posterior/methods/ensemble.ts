/** A deep ensemble: the members of the run at one step (Lakshminarayanan, Pritzel and Blundell, arXiv 1612.01474). */
import { EmpiricalPosterior } from "../empirical.ts";
import { requireOptions } from "../option-checks.ts";
import { withoutOwnSamples, withoutOwnSamplesRemark } from "../own-samples.ts";
import type { MethodDefinition } from "./method.ts";

export const ensemble = {
  name: "ensemble",
  label: "ensemble",
  summary: "the members of the run, each once",
  fits: "nothing",
  byDefault: true,
  needs: { checkpoints: "members", data: false, model: { optimizer: "none" } },
  defaults: {},
  settings: [],
  options: () => ({}),
  requireOptions: (options) => requireOptions("ensemble", options, {}),
  fit: ({ checkpoints }) => ({ posterior: new EmpiricalPosterior("ensemble", checkpoints) }),
  load: EmpiricalPosterior.load,
  nameIn: (config) => {
    const how = withoutOwnSamples(config);
    return how && `ensemble ${how}`;
  },
  remark: (_, config) => withoutOwnSamplesRemark(config, "ensemble", "the members"),
} as const satisfies MethodDefinition<"ensemble", Record<string, never>, { optimizer: "none" }>;
