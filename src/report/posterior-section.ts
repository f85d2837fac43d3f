/** The report's sections on approximate posteriors and on curvature; empty without results. */
import type { MethodComparison } from "../analysis/compare.ts";
import { OPERATORS } from "../analysis/spectrum-job.ts";
import { methodsOf } from "./figures/methods.ts";
import { spectraOf } from "./figures/spectrum.ts";
import { formatNumber } from "./format.ts";
import { bulletList, htmlTable, section } from "./page.ts";
import { calibrationTable, collapseTable } from "./posterior-tables.ts";
import type { RunData } from "./read-run.ts";
import { spectrumTable } from "./spectrum-table.ts";

/** Below this, in nats, the mutual information of a method is no more than its draws' small differences. */
const NEGLIGIBLE = 0.01;

export function posteriorSection(run: RunData): string {
  const methods = methodsOf(run);
  if (methods.length === 0) return "";
  const calibration = calibrationTable(methods);
  return section(
    "Approximate posteriors",
    [
      htmlTable(collapseTable(methods, run.events.grokStep)),
      ...(calibration ? [htmlTable(calibration)] : []),
      bulletList(remarks(run, methods)),
    ].join("\n"),
  );
}

export function curvatureSection(run: RunData): string {
  const records = OPERATORS.flatMap((operator) => spectraOf(run, operator));
  return records.length === 0 ? "" : section("Curvature", htmlTable(spectrumTable(records)));
}

function remarks(run: RunData, methods: readonly MethodComparison[]): string[] {
  const names = (of: readonly MethodComparison[]) => of.map(({ method }) => method).join(", ");
  const without = methods.filter(({ peakDetected }) => !peakDetected);
  const level = methods.filter(({ fall }) => fall === null);
  const tiny = methods.filter(({ peakMutualInformation }) => peakMutualInformation < NEGLIGIBLE);
  const dropout = run.posteriors.findLast(({ method }) => method === "dropout");
  const untrained = run.config.model.dropout === 0;
  const ivon = run.posteriors.findLast(({ method }) => method === "ivon");
  const sizes = new Set(methods.map(({ samples }) => samples));
  return [
    "Each posterior is fitted around a checkpoint of the finished training, and measured on the same prompts of unseen tasks as the ensemble. One posterior describes the neighbourhood of one solution: it cannot know of other solutions, as an ensemble can.",
    ...(sizes.size > 1
      ? [
          "MI estimated from few draws is biased low: methods of different S do not compare in size, only in shape.",
        ]
      : []),
    ...(without.length > 0
      ? [
          `No peak by the detector's standard, which is made for ensembles of separate trainings, for ${names(without)}: their MI stays below a quarter of min(log S, log C), and the half-fall is relative to their own maximum.`,
        ]
      : []),
    ...(level.length > 0
      ? [`MI does not fall to half of its maximum within these steps for ${names(level)}.`]
      : []),
    ...(tiny.length > 0
      ? [
          `MI never exceeds ${NEGLIGIBLE} nats for ${names(tiny)}: with N as large as the predictions trained on, the posterior is so narrow that rise and fall are within its noise.`,
        ]
      : []),
    ...(dropout && untrained
      ? [
          `The model was trained without dropout; dropout at rate ${formatNumber(dropout.options.dropout)} is noise it has never met, and its MI a measure of robustness rather than of a posterior.`,
        ]
      : []),
    ...(ivon
      ? [
          ivon.options.steps === 0
            ? "IVON is the posterior that the run itself trained, as it was at each checkpoint; its N is that of the whole run, the other methods' that of the steps so far."
            : `IVON goes on from each checkpoint for ${ivon.options.steps} steps, not from the initialisation.`,
        ]
      : []),
  ];
}
