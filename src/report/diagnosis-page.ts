/** The diagnosis of predictions as one HTML file: verdict, estimate, statistics, table. */
import { resolve } from "node:path";
import type { Diagnosis, DiagnosisResult, EvaluationDiagnosis } from "../diagnosis/diagnose.ts";
import { ESTIMATOR_NAMES, ESTIMATORS } from "../diagnosis/estimators.ts";
import { diagnosisWords } from "../diagnosis/words.ts";
import { inWords } from "../uncertainty/wording.ts";
import {
  type Figure,
  fromZero,
  linePlot,
  type Mark,
  type Point,
  reference,
  type Series,
  type StepAxis,
  stepAxis,
} from "./figures/plot.ts";
import { formatNumber, formatPercent, formatStep } from "./format.ts";
import { escapeHtml } from "./html.ts";
import { writeOutput } from "./output.ts";
import { bulletList, htmlPage, htmlTable, section } from "./page.ts";
import { categories, colour } from "./theme.ts";
import { figuresHtml } from "./theory/figures-html.ts";

/**
 * @param source where the predictions come from, as the page's title has it
 * @returns the absolute path of the file
 * @throws UsageError if `out` is there and is no report
 */
export async function writeDiagnosis(diagnosis: Diagnosis, source: string, out: string): Promise<string> {
  const path = resolve(out);
  await writeOutput(path, await diagnosisPage(diagnosis, source), "HTML report");
  return path;
}

async function diagnosisPage(diagnosis: Diagnosis, source: string): Promise<string> {
  const { result, detector } = diagnosis;
  return htmlPage({
    title: `Diagnosis of ${source}`,
    subtitle: `${result.prompts} prompts of unseen tasks without labels, ${result.classes} classes, ${result.evaluations.at(-1)!.members} members`,
    body: [
      `<p class="verdict">${escapeHtml(diagnosisWords(result))}</p>`,
      section(
        "Figures",
        await figuresHtml([estimateFigure(result), estimatesFigure(result), informationFigure(result)]),
      ),
      section("What it rests on", bulletList([...detector.caveats.map(inWords), result.rule])),
      section("Evaluations", htmlTable(table(result))),
    ].join("\n"),
  });
}

const line = (
  key: string,
  { evaluations }: DiagnosisResult,
  of: (evaluation: EvaluationDiagnosis) => number | null,
  style: Omit<Series, "key" | "points">,
): Series => ({
  key,
  ...style,
  points: evaluations.map((each): Point => ({ x: each.step, y: of(each) })),
});

function marks({ alarmStep, collapseStep }: DiagnosisResult): Mark[] {
  return [
    { x: alarmStep, label: "alarm" },
    { x: collapseStep, label: "collapse" },
  ].flatMap(({ x, label }) => (x === null ? [] : [{ x, label }]));
}

const stepsOf = ({ evaluations }: DiagnosisResult, axis: StepAxis = "linear") =>
  stepAxis(
    evaluations.map(({ step }) => step),
    axis,
  );

/** The estimate beside the truth, where that is known. */
export function estimateFigure(result: DiagnosisResult, axis: StepAxis = "linear"): Figure {
  const x = stepsOf(result, axis);
  const known = result.evaluations.some(({ accuracy }) => accuracy !== null);
  const bound = { colour: colour.blue, strokeWidth: 1, dash: [2, 3] };
  return {
    id: "estimated-accuracy",
    title: "Estimated accuracy on unseen tasks",
    caption: `Estimate without labels (solid), its interval (dotted)${known ? ", and the accuracy with labels, which the estimate did not see" : ""}.`,
    spec: linePlot({
      description: "Line chart of the estimated accuracy on unseen tasks over training steps.",
      x,
      y: { title: "accuracy", domain: [0, 1] },
      series: [
        reference("chance", "chance", result.chance, x),
        line("low", result, (e) => e.estimatedAccuracy.low, bound),
        line("high", result, (e) => e.estimatedAccuracy.high, bound),
        line("truth", result, (e) => e.accuracy, { label: "truth", colour: colour.vermillion }),
        line("value", result, (e) => e.estimatedAccuracy.value, {
          label: "estimate",
          colour: colour.blue,
          strokeWidth: 2.75,
        }),
      ],
      marks: marks(result),
    }),
  };
}

function estimatesFigure(result: DiagnosisResult): Figure {
  const used = ESTIMATOR_NAMES.filter((name) => result.evaluations.some((e) => e.estimates[name] !== null));
  return {
    id: "estimates",
    title: "What the estimate is made of",
    caption: `${used.map((name) => `${ESTIMATORS[name].label}: ${ESTIMATORS[name].about}`).join("; ")}.`,
    spec: linePlot({
      description: "Line chart of the single estimates of the accuracy over training steps.",
      x: stepsOf(result),
      y: { title: "accuracy", domain: [0, 1] },
      series: used.map((name, i) =>
        line(name, result, (e) => e.estimates[name], {
          label: ESTIMATORS[name].label,
          colour: categories[i % categories.length],
          // More estimates than colours.
          ...(i >= categories.length && { dash: [5, 3] }),
        }),
      ),
    }),
  };
}

function informationFigure(result: DiagnosisResult): Figure {
  const series = [
    line("information", result, (e) => e.statistics.mutualInformation, { label: "MI", colour: colour.blue }),
    line("expected", result, (e) => e.statistics.expectedEntropy, {
      label: "expected",
      colour: colour.slate,
    }),
  ];
  return {
    id: "information",
    title: "Uncertainty on unseen tasks",
    caption: "Mutual information of the members (epistemic) and their mean entropy (aleatoric), nats.",
    spec: linePlot({
      description: "Line chart of mutual information and expected entropy over training steps.",
      x: stepsOf(result),
      y: { title: "nats", domain: fromZero(series) },
      series,
      marks: marks(result),
    }),
  };
}

function table({ evaluations }: DiagnosisResult) {
  return {
    head: ["step", "state", "probability", "estimate", "from", "to", "truth", "MI", "seen tasks"],
    rows: evaluations.map((e) => [
      formatStep(e.step),
      e.state,
      formatNumber(e.generalised),
      ...[e.estimatedAccuracy.value, e.estimatedAccuracy.low, e.estimatedAccuracy.high].map(formatPercent),
      formatPercent(e.accuracy),
      formatNumber(e.statistics.mutualInformation),
      formatPercent(e.seenAccuracy),
    ]),
  };
}
