/**
 * What changes as memorising turns into generalising, on the runs with a pool of through-training: distances of the mean
 * prediction to the exact predictors that memorise (M) and generalise (G), and the curvature of the training loss.
 */
import { spectraOf } from "../../dist/report/figures/spectrum.js";
import { digest, near, withDigests } from "../shared/runs.mjs";
import { mean, medianOfKnown, overSeeds } from "../shared/statistics.mjs";
import { number, table, withInterval } from "../shared/tables.mjs";
import { isPool } from "../through-training/kinds.mjs";

export const uses = "through-training";

export const jobs = (run) =>
  isPool(run)
    ? [
        [
          "spectrum",
          "--steps",
          "all",
          "--checkpoints",
          "8",
          "--members",
          "1",
          "--operator",
          "ggn",
          "--llc",
          "--quiet",
        ],
      ]
    : [];

export function analyse(all) {
  const runs = all.filter(isPool);
  return { text: [distances(runs), curvature(runs)].filter(Boolean).join("\n\n") };
}

/** As the pool is memorised, half-way along the plateau, as unseen tasks are solved, and at the end. */
const MOMENTS = {
  memorised: ({ memorised }) => memorised,
  "on the plateau": ({ memorised, generalised, measures }) =>
    memorised && Math.sqrt(memorised * (generalised ?? measures.at(-1).step)),
  grokked: ({ grok }) => grok,
  "at the end": ({ measures }) => measures.at(-1).step,
};

function distances(runs) {
  const sets = ["trainPrompts", "seenTasks", "unseenTasks"];
  const rows = sets.flatMap((set) => {
    const read = withDigests(runs, set);
    const of = (get) =>
      Object.values(MOMENTS).map((when) =>
        withInterval(
          overSeeds(read, ({ digest }) => {
            const step = when(digest);
            return step === null ? null : get(near(digest.measures, step));
          }),
        ),
      );
    return [
      [set, "Jensen-Shannon to M", ...of((m) => m.distanceM.jensenShannon)],
      [set, "Jensen-Shannon to G", ...of((m) => m.distanceG.jensenShannon)],
      [set, "NLL", ...of((m) => m.nll)],
      [set, "MI", ...of((m) => m.mutualInformation)],
    ];
  });
  return table(["probe set", "nats, medians over seeds [95 % interval]", ...Object.keys(MOMENTS)], rows);
}

/** exp of the entropy of the eigenvalues' shares, of the density that Lanczos quadrature gives. */
function effectiveRank({ density, parameters }) {
  const ranks = density.map(({ nodes, weights }) => {
    const mass = nodes.map((node, i) => Math.max(node, 0) * weights[i]);
    const total = mass.reduce((sum, value) => sum + value, 0);
    // weights[i] stands for weights[i] * parameters eigenvalues of this size, each with this share.
    return Math.exp(
      nodes.reduce((entropy, node, i) => {
        const share = Math.max(node, 0) / total / parameters;
        return share > 0 ? entropy - (mass[i] / total) * Math.log(share) : entropy;
      }, 0),
    );
  });
  return mean(ranks);
}

function curvature(runs) {
  const read = runs.flatMap((run) => {
    const { memorised, generalised, measures } = digest(run);
    if (memorised === null || run.spectra.length === 0) return [];
    const until = generalised ?? measures.at(-1).step;
    // By step: they are kept in the order in which they were done.
    const spectra = spectraOf(run, "ggn");
    const phase = (from, to) => spectra.filter(({ step }) => step >= from && step <= to);
    return [
      { ...run, phases: { start: phase(0, 0), plateau: phase(memorised, until), end: spectra.slice(-1) } },
    ];
  });
  if (read.length === 0) return "";
  const measures = {
    "largest eigenvalue": ({ largest }) => largest[0],
    trace: ({ trace }) => trace.estimate,
    "effective rank": effectiveRank,
    "learning coefficient": ({ llc }) => llc?.llc ?? null,
  };
  const rows = Object.entries(measures).map(([name, of]) => [
    name,
    ...["start", "plateau", "end"].map((phase) =>
      withInterval(
        overSeeds(read, ({ phases }) => mean(phases[phase].map(of)), medianOfKnown),
        (value) => number(value, Math.abs(value) >= 100 ? 0 : 2),
      ),
    ),
    ["start", "plateau", "end"]
      .map((phase) => read.filter(({ phases }) => mean(phases[phase].map(of)) === null).length)
      .join(", "),
  ]);
  return table(
    [
      "curvature (Gauss-Newton) of one member's training loss",
      "untrained",
      "on the plateau",
      "at the end",
      "seeds without a value",
    ],
    rows,
  );
}
