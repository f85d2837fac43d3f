/** The curvature at the checkpoints as a table of text. */
import { type SpectrumRecord, withoutFailedEstimate } from "../analysis/spectrum-job.ts";
import { formatNumber, formatPercent, formatStep, ordinal } from "./format.ts";
import type { TextTable } from "./posterior-tables.ts";

/** A row for each record, in their order. */
export function spectrumTable(all: readonly SpectrumRecord[]): TextTable {
  const records = all.map(withoutFailedEstimate);
  const further = furtherEigenvalues(records);
  const coefficients = records.some(({ llc }) => llc !== null);
  const terms = [...new Set(records.map((record) => record.terms))].join(", ");
  const learning = records.find(({ llc }) => llc !== null)?.llc;
  return {
    caption: `Curvature of the mean training loss (nats) over ${terms} predictions. Trace by Hutch++, ± its standard error. Negative: the most negative eigenvalue as a share of the largest one; none below a thousandth, the tolerance. ≥: the search for eigenvalues did not end, and they are bounds.${
      learning
        ? ` LLC: local learning coefficient at n = ${learning.trainingTerms}, n beta = ${formatNumber(learning.nBeta)}, gamma = ${learning.localisation}, ± its standard error; none where a diagnostic of its chains fails: R-hat above 1.1, an effective sample size (ESS) below 10, a drift beyond 1 standard deviation, half or more of the losses below that of the checkpoint, or a mean that no learning coefficient can be.`
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
      ...(coefficients ? ["LLC", "R-hat", "ESS", "drift", "below"] : []),
      "s",
    ],
    rows: records.map((r) => [
      r.operator,
      formatStep(r.step),
      String(r.member),
      bound(r, formatNumber(r.largest[0])),
      ...further.map((k) => bound(r, formatNumber(r.largest[k - 1]))),
      withError(r.trace.estimate, r.trace.standardError),
      negative(r),
      ...(coefficients ? coefficientCells(r) : []),
      formatNumber(r.seconds),
    ]),
  };
}

/** A row for each layer or block of each record that has them; null without. */
export function groupTable(records: readonly SpectrumRecord[]): TextTable | null {
  const rows = records.flatMap((record) => (record.groups ?? []).map((group) => ({ record, group })));
  if (rows.length === 0) return null;
  const by = [...new Set(rows.map(({ record }) => record.by))].join(" and ");
  const most = Math.max(...rows.map(({ group }) => group.largest.length));
  const further = Array.from({ length: most - 1 }, (_, i) => i + 2);
  const negatives = rows.some(({ group }) => group.smallest !== null);
  return {
    caption: `The same by ${by}: the matrix restricted to its parameters. The traces add up to that of the whole; the largest eigenvalue of the whole is at least that of each part.`,
    head: [
      ...["operator", "step", "member", "part", "parameters", "largest"],
      ...further.map(ordinal),
      "trace",
      ...(negatives ? ["smallest"] : []),
    ],
    rows: rows.map(({ record, group }) => [
      ...[record.operator, formatStep(record.step), String(record.member)],
      ...[group.name, formatStep(group.parameters)],
      ...[1, ...further].map((k) =>
        k <= group.largest.length ? bound(group, formatNumber(group.largest[k - 1])) : "–",
      ),
      withError(group.trace.estimate, group.trace.standardError),
      ...(negatives ? [group.smallest === null ? "–" : formatNumber(group.smallest)] : []),
    ]),
  };
}

/** Of each checkpoint whose chains give no learning coefficient, why. */
export function failedCoefficients(records: readonly SpectrumRecord[]): string[] {
  return records
    .map(withoutFailedEstimate)
    .flatMap(({ llc, step, member }) =>
      llc?.failures && llc.failures.length > 0
        ? [
            `No learning coefficient at step ${formatStep(step)}, member ${member} (mean of the chains ${formatNumber(llc.chainMean)}): ${llc.failures.join("; ")}.`,
          ]
        : [],
    );
}

function coefficientCells({ llc }: SpectrumRecord): string[] {
  if (!llc) return ["–", "–", "–", "–", "–"];
  const { rHat, effectiveSampleSize, drift, belowBase } = llc.diagnostics;
  return [
    llc.llc === null ? "none" : withError(llc.llc, llc.standardError),
    formatNumber(rHat),
    formatNumber(effectiveSampleSize),
    formatNumber(drift),
    formatPercent(belowBase),
  ];
}

function withError(estimate: number, standardError: number | null): string {
  const error =
    standardError === null || Number.isNaN(standardError) ? "" : ` ± ${formatNumber(standardError)}`;
  return `${formatNumber(estimate)}${error}`;
}

const bound = ({ converged }: Pick<SpectrumRecord, "converged">, text: string) =>
  converged ? text : `≥ ${text}`;

/** Besides the largest: the second and the last, counted from 1, as far as every record has so many. */
function furtherEigenvalues(records: readonly SpectrumRecord[]): number[] {
  const fewest = Math.min(...records.map(({ largest }) => largest.length));
  return [...new Set([2, fewest])].filter((k) => k > 1 && k <= fewest);
}

/** Lanczos finds eigenvalues to a thousandth of the largest. */
const RESOLUTION = 1e-3;

function negative(record: SpectrumRecord): string {
  const { operator, smallest, largest, converged } = record;
  if (operator === "ggn" || smallest === null) return "–";
  if (!(largest[0] > 0)) return "all";
  const share = -smallest / largest[0];
  if (share < RESOLUTION) return converged ? "none" : "not found";
  return bound(record, formatNumber(share));
}
