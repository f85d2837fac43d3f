/** The curvature at the checkpoints as a table of text. */
import type { SpectrumRecord } from "../analysis/spectrum-job.ts";
import { formatNumber, formatStep, ordinal } from "./format.ts";
import type { TextTable } from "./posterior-tables.ts";

/** A row for each record, in their order. */
export function spectrumTable(records: readonly SpectrumRecord[]): TextTable {
  const further = furtherEigenvalues(records);
  const coefficients = records.some(({ llc }) => llc !== null);
  const terms = [...new Set(records.map((record) => record.terms))].join(", ");
  const learning = records.find(({ llc }) => llc !== null)?.llc;
  return {
    caption: `Curvature of the mean training loss (nats) over ${terms} predictions. Trace by Hutch++, ± its standard error. Negative: the most negative eigenvalue as a share of the largest one; none below a thousandth, the tolerance.${
      learning
        ? ` LLC: local learning coefficient at n = ${learning.trainingTerms}, n beta = ${formatNumber(learning.nBeta)}, gamma = ${learning.localisation}; R-hat above 1.1 means that the chains have not settled.`
        : ""
    }`,
    head: [
      "operator",
      "step",
      "member",
      "largest",
      ...further.map(ordinal),
      "trace",
      "negative",
      ...(coefficients ? ["LLC", "R-hat"] : []),
      "s",
    ],
    rows: records.map((r) => [
      r.operator,
      formatStep(r.step),
      String(r.member),
      formatNumber(r.largest[0]),
      ...further.map((k) => formatNumber(r.largest[k - 1])),
      `${formatNumber(r.trace.estimate)} ± ${formatNumber(r.trace.standardError)}`,
      negative(r),
      ...(coefficients
        ? [
            r.llc ? `${formatNumber(r.llc.llc)} ± ${formatNumber(r.llc.standardError)}` : "–",
            formatNumber(r.llc?.diagnostics.rHat),
          ]
        : []),
      formatNumber(r.seconds),
    ]),
  };
}

/** Besides the largest: the second and the last, counted from 1, as far as every record has so many. */
function furtherEigenvalues(records: readonly SpectrumRecord[]): number[] {
  const fewest = Math.min(...records.map(({ largest }) => largest.length));
  return [...new Set([2, fewest])].filter((k) => k > 1 && k <= fewest);
}

/** Lanczos finds eigenvalues to a thousandth of the largest. */
const RESOLUTION = 1e-3;

function negative({ operator, smallest, largest }: SpectrumRecord): string {
  if (operator === "ggn" || smallest === null) return "–";
  const share = -smallest / largest[0];
  return share < RESOLUTION ? "none" : formatNumber(share);
}
