/**
 * A snapshot ensemble: the last checkpoints of one member's own training (Huang et al., arXiv 1704.00109). Their learning
 * rate restarts before every snapshot; a run's does not, so that its checkpoints are those of a checkpoint ensemble (Chen,
 * Lundberg and Lee, arXiv 1710.03282) and differ by as much as training has moved from one to the next.
 */
import { EmpiricalPosterior } from "../empirical.ts";
import { requireOptions } from "../option-checks.ts";
import { withoutOwnSamples, withoutOwnSamplesRemark } from "../own-samples.ts";
import type { MethodDefinition } from "./method.ts";

export const snapshotEnsemble = {
  name: "snapshot-ensemble",
  label: "snapshots",
  summary: "the member's last four checkpoints up to the step, each once",
  fits: "nothing",
  byDefault: true,
  // As many as an ensemble has members by default: mutual information compares at equal numbers of draws only.
  needs: { checkpoints: { last: 4 }, data: false, model: { optimizer: "none" } },
  defaults: {},
  settings: [],
  options: () => ({}),
  requireOptions: (options) => requireOptions("snapshot-ensemble", options, {}),
  fit: ({ checkpoints }) => ({ posterior: new EmpiricalPosterior("snapshot-ensemble", checkpoints) }),
  load: EmpiricalPosterior.load,
  nameIn: (config) => {
    const how = withoutOwnSamples(config);
    return how && `snapshot-ensemble ${how}`;
  },
  remark: (_, config) =>
    [
      "The snapshot ensemble is of one member's last checkpoints: its MI is how far training has moved between them, large on a slope and small on a plateau, whatever the other solutions are.",
      withoutOwnSamplesRemark(config, "snapshot-ensemble", "the checkpoints") ?? [],
    ]
      .flat()
      .join(" "),
} as const satisfies MethodDefinition<"snapshot-ensemble", Record<string, never>, { optimizer: "none" }>;
