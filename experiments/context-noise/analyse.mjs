/**
 * Claim: how epistemic and aleatoric uncertainty depend on noise in the context, in training and in use, beside the exact
 * posterior under the same noise. The expected entropy of the members stands for the aleatoric part; the entropy of the
 * generalising predictor G, which knows the noise of the probe sets, is its reference.
 */
import { intervalPlot } from "../shared/figures.mjs";
import { outcomesTable } from "../shared/outcomes.mjs";
import { groupBy, withDigests } from "../shared/runs.mjs";
import { overSeeds } from "../shared/statistics.mjs";

export function analyse(runs) {
  const cells = groupBy(withDigests(runs), ["task.trainNoise", "task.probeNoise"]);
  return {
    text: outcomesTable(
      cells,
      ["noise in training", "in use"],
      [
        "seeds",
        "members that grok",
        "memorised",
        "grokked",
        "peak of MI",
        "MI at the end",
        "expected entropy at the end",
        "entropy of G",
        "distance to M, 0, against G, 1",
        "unseen accuracy at the end, from chance to ceiling",
      ],
    ),
    figures: { noise: figure(cells) },
  };
}

/** At the end, where training and use have the same noise. */
function figure(cells) {
  const same = cells.filter(({ values: [train, probe] }) => train === probe);
  const line = (label, of) => ({
    label,
    points: same.map(({ values: [x], runs }) => ({ x, ...overSeeds(runs, ({ digest }) => of(digest)) })),
  });
  const lines = [
    line("MI", (d) => d.last.mutualInformation),
    line("exp. entropy", (d) => d.last.expectedEntropy),
    line("entropy of G", (d) => d.entropyG),
  ];
  return intervalPlot({
    description:
      "Mutual information and expected entropy on unseen tasks at the end, and the entropy of the exact posterior, against noise in the context.",
    x: {
      title: "noise in the context",
      format: "~g",
    },
    y: {
      title: "nats",
    },
    lines,
  });
}
