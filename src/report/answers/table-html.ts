/** The answer table at one evaluation as HTML, and the words that go with it. */
import { formatShare, formatStep } from "../format.ts";
import { escapeHtml } from "../html.ts";
import type { RunData } from "../read-run.ts";
import { shareColours } from "../theme.ts";
import { blocksOf } from "./blocks.ts";
import type { Frame } from "./frames.ts";
import { heatMap, STRENGTHS } from "./heat-map.ts";

/** What the reader of a run's tables sees. There is one at least. */
export function explanation({
  config: { task, evaluation, ensemble },
  answers: [first],
}: Pick<RunData, "config" | "answers">): string {
  const { variables, promptPool } = task;
  const sampling = (evaluation.posteriorSamples ?? 0) > 0;
  const query = variables === 1 ? "the value of x asked" : "the direction of the inputs asked";
  const sampled = first.tasks.length * first.inputs.length;
  const context = `${task.examples - 1} ${task.examples === 2 ? "example" : "examples"}`;
  return [
    `Each cell is one question (${formatStep(sampled)} in all): ${context} of a task, then a new input. A row is a task, a column ${query}.`,
    ...(promptPool === 0
      ? ["Questions on unseen tasks never occur in training."]
      : [
          "Fresh questions have other examples than those trained on; a cell without one in the pool is empty.",
        ]),
    ...(ensemble.bootstrap
      ? ["What members train on differs: a question counts as trained if any of them may have it."]
      : []),
    ...(sampling ? ["Members answer with the mean of their weights."] : []),
    ...(first.seenInputs < first.inputs.length
      ? ["Right of the gap: inputs that never occur in training."]
      : []),
  ].join(" ");
}

/** What colours and their strengths mean. */
export function legend(): string {
  const swatches = (styles: string[]) =>
    styles.map((style) => `<i style="background:${style}"></i>`).join("");
  const strong = shareColours[shareColours.length - 1];
  const strengths = STRENGTHS.map(
    (strength) => `color-mix(in srgb,${strong} ${Math.round(100 * strength)}%,transparent)`,
  );
  return `<p class="legend"><span>no member right ${swatches(shareColours)} all right</span> <span>unsure ${swatches(strengths)} sure</span></p>`;
}

/** One table. */
export function frameHtml({ record, name }: Frame): string {
  const title = name === "" ? "" : `<b>${escapeHtml(name)}</b> `;
  const blocks = blocksOf(record).map((block) => {
    const share = formatShare(block.right);
    const description = escapeHtml(`${block.label} at step ${record.step}: ${share} right`);
    return `<div><p><span>${escapeHtml(block.label)}</span> <b>${share}</b></p>${heatMap(block, record.seenInputs, description)}</div>`;
  });
  return `<figure class="frame"><figcaption>${title}step ${formatStep(record.step)}</figcaption>\n<div class="blocks">${blocks.join("\n")}</div></figure>`;
}
