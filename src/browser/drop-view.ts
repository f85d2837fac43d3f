/** Predictions of any training system that are dropped on the page: what `epigrok diagnose` says of them. */
import { predictionsIn } from "../diagnosis/archives.ts";
import { type Diagnosis, type DiagnosisResult, runDiagnosis } from "../diagnosis/diagnose.ts";
import { diagnosisWords } from "../diagnosis/words.ts";
import { messageOf } from "../errors.ts";
import { formatNumber, formatStep } from "../report/format.ts";
import { colour } from "../report/theme.ts";
import { inWords } from "../uncertainty/wording.ts";
import { Chart, chartPlace } from "./chart.ts";
import { element, made } from "./elements.ts";

export class DropView {
  #charts: Chart[] = [];

  constructor() {
    const zone = element("drop");
    const input = element("drop-file", HTMLInputElement);
    const take = (files: FileList | null | undefined) => {
      if (files?.[0]) void this.#read(files[0]);
    };
    input.addEventListener("change", () => take(input.files));
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      take(event.dataTransfer?.files);
    });
  }

  redraw(): void {
    for (const chart of this.#charts) chart.redraw();
  }

  async #read(file: File): Promise<void> {
    const problem = element("drop-problem");
    problem.hidden = true;
    element("drop-words").textContent = `Reading ${file.name}.`;
    try {
      const bytes = new Uint8Array(await file.arrayBuffer());
      this.#show(runDiagnosis(predictionsIn(bytes)));
    } catch (error) {
      element("drop-words").textContent = "";
      problem.hidden = false;
      problem.textContent = `${file.name}: ${messageOf(error)}`;
    }
  }

  #show({ result, detector }: Diagnosis): void {
    element("drop-words").textContent = diagnosisWords(result);
    element("drop-caveats").replaceChildren(...detector.caveats.map((caveat) => made("li", inWords(caveat))));
    element("drop-figures").hidden = false;
    for (const chart of this.#charts) chart.destroy();
    const x = { label: "step", format: formatStep };
    const estimate = new Chart(chartPlace("drop-estimate"), {
      ...{ x, top: 1, unit: "" },
      lines: [
        { label: "estimate", colour: colour.blue, width: 2.75 },
        { label: "from", colour: colour.blue, width: 1, dash: [2, 3] },
        { label: "to", colour: colour.blue, width: 1, dash: [2, 3] },
        { label: "with labels", colour: colour.vermillion, width: 1.75 },
      ],
    });
    const information = new Chart(chartPlace("drop-information"), {
      ...{ x, unit: " nats" },
      lines: [{ label: "MI", colour: colour.vermillion, width: 2.75 }],
    });
    this.#charts = [estimate, information];
    const { evaluations } = result;
    const last = evaluations[evaluations.length - 1];
    const steps = evaluations.map(({ step }) => step);
    const marks = marksOf(result);
    estimate.draw({
      ...{ x: steps, marks, bands: [] },
      values: [
        evaluations.map(({ estimatedAccuracy }) => estimatedAccuracy.value),
        evaluations.map(({ estimatedAccuracy }) => estimatedAccuracy.low),
        evaluations.map(({ estimatedAccuracy }) => estimatedAccuracy.high),
        evaluations.map(({ accuracy }) => accuracy),
      ],
      description: `Estimated accuracy over training; ${formatNumber(last.estimatedAccuracy.value)} at step ${last.step}.`,
    });
    information.draw({
      ...{ x: steps, marks, bands: [] },
      values: [evaluations.map(({ statistics }) => statistics.mutualInformation)],
      description: `Mutual information over training; ${formatNumber(last.statistics.mutualInformation)} nats at step ${last.step}.`,
    });
  }
}

function marksOf({ alarmStep, collapseStep }: DiagnosisResult) {
  return [
    { x: alarmStep, label: "alarm" },
    { x: collapseStep, label: "collapse" },
  ].flatMap(({ x, label }) => (x === null ? [] : [{ x, label }]));
}
