/** Curvature through training. None for a run without spectra. */
import { thin } from "../../analysis/selection.ts";
import type { OperatorName, SpectrumRecord } from "../../analysis/spectrum-job.ts";
import { ordinal } from "../format.ts";
import type { RunData } from "../read-run.ts";
import { colour, ordered } from "../theme.ts";
import { eventMarks, runAxis } from "./events.ts";
import { type Figure, fromZero, linePlot, type Series, type StepAxis, wholeDecades } from "./plot.ts";

/** The last records of each step and member, by step. Those with the settings of the last one only. */
export function spectraOf(run: RunData, operator: OperatorName): SpectrumRecord[] {
  const all = run.spectra.filter((record) => record.operator === operator);
  return all
    .filter((record) => record.settings === all[all.length - 1].settings)
    .sort((a, b) => a.step - b.step || a.member - b.member);
}

/** The GGN, or the Hessian where it was not asked for. */
function mainSpectra(run: RunData): { operator: OperatorName; records: SpectrumRecord[] } {
  const ggn = spectraOf(run, "ggn");
  return ggn.length > 0
    ? { operator: "ggn", records: ggn }
    : { operator: "hessian", records: spectraOf(run, "hessian") };
}

const operatorNames = { ggn: "GGN", hessian: "Hessian" } as const;

function meanOverMembers(records: readonly SpectrumRecord[], value: (record: SpectrumRecord) => number) {
  const steps = [...new Set(records.map(({ step }) => step))];
  return steps.map((step) => {
    const values = records.filter((record) => record.step === step).map(value);
    return { x: step, y: values.reduce((a, b) => a + b, 0) / values.length };
  });
}

/** The largest eigenvalues and the trace. */
export function eigenvalueFigure(run: RunData, axis: StepAxis): Figure | null {
  const { operator, records } = mainSpectra(run);
  if (records.length === 0) return null;
  const k = Math.min(...records.map(({ largest }) => largest.length));
  const eigenvalues: Series[] = Array.from({ length: k }, (_, i) => ({
    key: `eigenvalue ${i}`,
    label: i === 0 ? "largest" : i === k - 1 ? ordinal(k) : undefined,
    colour: colour.blue,
    strokeWidth: i === 0 ? 2.5 : 1,
    opacity: i === 0 || i === k - 1 ? 1 : 0.5,
    points: meanOverMembers(records, ({ largest }) => largest[i]),
  }));
  const trace: Series = {
    ...{ key: "trace", label: "trace", colour: colour.vermillion },
    points: meanOverMembers(records, (record) => record.trace.estimate),
  };
  const series = [...eigenvalues, trace];
  const lowest = Math.max(1e-12, smallestPositive(series) / 2);
  return {
    id: "spectrum",
    title: `Spectrum of the ${operatorNames[operator]}`,
    caption: `The ${k} largest eigenvalues and the trace of the ${operatorNames[operator]} of the mean training loss over ${records[0].terms} predictions, logarithmic; mean over ${count(records)}.`,
    spec: linePlot({
      description: "Line chart of the largest curvature eigenvalues and the trace over steps.",
      x: runAxis(run, axis),
      y: { title: "eigenvalue (log)", type: "log", domain: wholeDecades(series, lowest) },
      series,
      marks: eventMarks(run),
    }),
  };
}

/** How negative the Hessian's smallest eigenvalue is, against its largest. */
export function negativityFigure(run: RunData, axis: StepAxis): Figure | null {
  const records = spectraOf(run, "hessian").filter(({ smallest }) => smallest !== null);
  if (records.length === 0) return null;
  const series: Series[] = [
    {
      ...{ key: "negative", label: "−min / max", colour: colour.purple },
      points: meanOverMembers(records, ({ smallest, largest }) => Math.max(0, -smallest!) / largest[0]),
    },
  ];
  return {
    id: "negative-curvature",
    title: "Negative curvature",
    caption: `The Hessian's most negative eigenvalue as a share of its largest one; mean over ${count(records)}. 0 at a local minimum; a Laplace approximation, which uses the GGN, leaves such directions out.`,
    spec: linePlot({
      description: "Line chart of the share of the most negative Hessian eigenvalue over steps.",
      x: runAxis(run, axis),
      y: { title: "share", domain: fromZero(series) },
      series,
      marks: eventMarks(run),
    }),
  };
}

/** Width of the kernel that smooths the density, in decades. */
const SMOOTHING = 0.2;
const FLOOR = 1e-7;
/** Fewer eigenvalues per decade than this are the tails of the smoothing. */
const FEWEST = 0.1;

/** Spectral density at up to six steps, over the decades of the positive eigenvalues. */
export function densityFigure(run: RunData): Figure | null {
  const { operator, records } = mainSpectra(run);
  if (records.length === 0) return null;
  const steps = [...new Set(records.map(({ step }) => step))];
  const shown = thin(steps, ordered.length);
  const top = Math.max(...records.map(({ largest }) => largest[0]), FLOOR * 10);
  const domain: [number, number] = [Math.log10(FLOOR), Math.ceil(Math.log10(top) + 2 * SMOOTHING)];
  const grid = Array.from({ length: 121 }, (_, i) => domain[0] + ((domain[1] - domain[0]) * i) / 120);
  const series: Series[] = shown.map((step, i) => {
    const density = densityByDecade(
      records.filter((record) => record.step === step),
      grid,
    );
    return {
      key: `step ${step}`,
      label: `step ${step}`,
      colour: ordered[i],
      points: grid.map((x, j) => {
        const count = density[j] * records[0].parameters;
        return { x, y: count >= FEWEST ? count : null };
      }),
    };
  });
  return {
    id: "spectral-density",
    title: `Spectral density of the ${operatorNames[operator]}`,
    caption: `Eigenvalues per decade (logarithmic) from stochastic Lanczos quadrature, over ${records[0].parameters} parameters, smoothed by ${SMOOTHING} decades; eigenvalues below 10^${Math.log10(FLOOR)} and negative ones are left out. The quadrature tells how much lies where; what it draws as a narrow bulk near zero is the mean place of very many eigenvalues, at the limit of single precision.`,
    spec: linePlot({
      description: "Line chart of eigenvalues per decade at several steps.",
      x: { title: "log10 eigenvalue", type: "linear", domain, format: "~g" },
      y: { title: "per decade (log)", type: "log", domain: wholeDecades(series, FEWEST) },
      series,
    }),
  };
}

/** Share of the eigenvalues per decade at each point of the grid, from the nodes of all quadratures. */
function densityByDecade(records: readonly SpectrumRecord[], grid: readonly number[]): number[] {
  const quadratures = records.flatMap(({ density }) => density);
  const peak = 1 / (Math.sqrt(2 * Math.PI) * SMOOTHING * quadratures.length);
  return grid.map((x) => {
    let sum = 0;
    for (const { nodes, weights } of quadratures) {
      nodes.forEach((node, i) => {
        if (node >= FLOOR) sum += weights[i] * Math.exp(-0.5 * ((x - Math.log10(node)) / SMOOTHING) ** 2);
      });
    }
    return peak * sum;
  });
}

function smallestPositive(series: readonly Series[]): number {
  const values = series.flatMap(({ points }) => points.flatMap(({ y }) => (y !== null && y > 0 ? [y] : [])));
  return Math.min(...values);
}

function count(records: readonly SpectrumRecord[]): string {
  const members = new Set(records.map(({ member }) => member)).size;
  return members === 1 ? `member ${records[0].member}` : `${members} members`;
}
