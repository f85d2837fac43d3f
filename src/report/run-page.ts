/** The report of one run. */
import { stringify } from "yaml";
import { diagnoseRun } from "../diagnosis/diagnose-run.ts";
import { diagnosisWords } from "../diagnosis/words.ts";
import type { FinalAccuracy } from "../run/records.ts";
import { TaskFamily } from "../tasks/family.ts";
import type { TaskConfig } from "../tasks/settings.ts";
import type { LabelledEvents } from "../uncertainty/events.ts";
import { verdict as describe } from "../uncertainty/verdict.ts";
import { answersSection, PLAYER_SCRIPT } from "./answers/section.ts";
import { diagnose } from "./diagnosis.ts";
import { estimateFigure } from "./diagnosis-page.ts";
import { clearerAxis, membersOf, probeSets, setNames } from "./figures/events.ts";
import { furtherFigures, mainFigures, methodFigures, otherFigures } from "./figures/index.ts";
import { methodsOf } from "./figures/methods.ts";
import type { Figure, StepAxis } from "./figures/plot.ts";
import { quadrantFigures } from "./figures/quadrants.ts";
import { formatNumber, formatPercent, formatStep } from "./format.ts";
import { guarded, missingBox, renderedFigure } from "./guarded.ts";
import { escapeHtml } from "./html.ts";
import {
  bulletList,
  disclosure,
  type Fact,
  type FigureHtml,
  factList,
  figureGrid,
  htmlPage,
  htmlTable,
  pictureHtml,
  section,
  stepAxisSwitch,
  withStepAxis,
} from "./page.ts";
import { curvatureSection, posteriorSection } from "./posterior-section.ts";
import type { RunData } from "./read-run.ts";
import { headline, story } from "./story.ts";

/** The whole report as an HTML document. @param faults what of the run is damaged, and left out */
export async function runPage(run: RunData, faults: readonly string[] = []): Promise<string> {
  const { task } = run.config;
  const answers = await guarded("The answer table", () => answersSection(run));
  return htmlPage({
    title: `epigrok: ${run.name}`,
    subtitle: `${new TaskFamily(task).formula}, ${trainingTasks(task)}`,
    body: [
      ...faults.map((fault) => missingBox("A part of the run", fault)),
      await guarded("The story", () => storySection(run)),
      await guarded("The outcome", () => factList(facts(run))),
      withStepAxis(
        [
          await guarded("Through training", async () =>
            throughTraining(await onBothAxes((axis) => mainFigures(run, axis))),
          ),
          await guarded("The estimate without labels", () => estimateSection(run)),
          answers,
          await guarded("Seen and unseen tasks", () => quadrantsSection(run)),
          await guarded("Approximate posteriors", async () => {
            const methods = methodsOf(run);
            const figures = await onBothAxes((axis) => methodFigures(run, methods, axis));
            return posteriorSection(run, methods, figureGrid(figures));
          }),
          await guarded("More measures", () => furtherSection(run)),
        ].join("\n"),
        clearerAxis(run),
      ),
      `<div class="columns">${await guarded("The diagnosis", () => diagnosisSection(run))}${section("How to read this", bulletList(readingGuide(run)))}</div>`,
      await guarded("Members", () => membersSection(run)),
      await guarded("Curvature", () => curvatureSection(run)),
      await guarded("Exact references", () => referencesSection(run)),
      section(
        "Configuration and environment",
        [
          disclosure("Configuration", stringify(run.config)),
          run.environment ? disclosure("Environment", stringify(run.environment)) : "",
        ].join("\n"),
      ),
    ].join("\n"),
    footer: run.hash ? `Configuration ${run.hash}` : undefined,
    script: answers === "" ? undefined : PLAYER_SCRIPT,
  });
}

async function furtherSection(run: RunData): Promise<string> {
  const further = [
    ...(await onBothAxes((axis) => furtherFigures(run, axis))),
    ...(await Promise.all(
      otherFigures(run).map(async (figure) => ({ ...figure, svg: await renderedFigure(figure) })),
    )),
  ];
  return further.length > 0 ? section("More measures", figureGrid(further)) : "";
}

/** Each figure with its pictures on the two spacings of the step axis. */
async function onBothAxes(figures: (axis: StepAxis) => Figure[]): Promise<FigureHtml[]> {
  const log = figures("log");
  return Promise.all(
    figures("linear").map(async (figure, i) => ({
      ...figure,
      svg: { linear: await renderedFigure(figure), log: await renderedFigure(log[i]) },
    })),
  );
}

function storySection(run: RunData): string {
  const chapters = story(run).map(
    ({ event, text }) => `<li><b>${escapeHtml(event)}</b> ${escapeHtml(text)}</li>`,
  );
  return [
    ...(run.summary ? [] : [`<p class="note">${escapeHtml(progress(run))}</p>`]),
    ...(chapters.length > 0
      ? [
          `<p class="verdict">${escapeHtml(headline(run))}</p>`,
          `<ul class="story">\n${chapters.join("\n")}\n</ul>`,
        ]
      : []),
  ].join("\n");
}

function throughTraining(figures: FigureHtml[]): string {
  const body =
    figures.length > 0
      ? `${stepAxisSwitch}\n${figureGrid(figures)}`
      : `<p class="note">No evaluation has been written yet.</p>`;
  return section("Through training", body);
}

/** What the predictions on unseen tasks say of their accuracy; of a run that has kept them. */
async function estimateSection(run: RunData): Promise<string> {
  const diagnosis = await diagnoseRun(run);
  if (!diagnosis) return "";
  const { result } = diagnosis;
  const figures = await onBothAxes((axis) => [estimateFigure(result, axis)]);
  return section(
    "Without labels",
    `<p>${escapeHtml(diagnosisWords(result))}</p>\n${figureGrid(figures)}\n<p class="note">${escapeHtml(result.rule)}</p>`,
  );
}

async function quadrantsSection(run: RunData): Promise<string> {
  const quadrants = quadrantFigures(run, "linear");
  if (quadrants.length === 0) return "";
  const figures = await onBothAxes((axis) =>
    quadrantFigures(run, axis).flatMap((quadrant) => quadrant.figures),
  );
  const [inputs, captions] = [
    quadrants.length > 2 ? ", seen and unseen inputs" : "",
    quadrants[0].figures.map(({ caption }) => caption).join(" "),
  ];
  const html = quadrants.map(({ title, figures: { length } }, i) => {
    const own = figures.slice(length * i, length * (i + 1)).map((figure) => pictureHtml(figure));
    return `<div class="quadrant"><h3>${escapeHtml(title)}</h3>\n${own.join("\n")}</div>`;
  });
  return section(
    `Seen and unseen tasks${inputs}`,
    `<div class="figures quadrants">\n${html.join("\n")}\n</div>\n<p class="note">${escapeHtml(captions)} All on the same axes.</p>`,
  );
}

/** The verdict of a finished run in words; for an unfinished one its progress, and what shows without labels. */
export function verdict(run: RunData): string {
  return run.summary ? run.summary.verdict : `${progress(run)} ${describe(null, run.detector)}`;
}

function progress(run: RunData): string {
  const last = run.records.at(-1)?.step ?? 0;
  return `Unfinished: evaluated up to step ${formatStep(last)} of ${formatStep(run.config.training.steps)}.`;
}

function trainingTasks(task: TaskConfig): string {
  const { taskCount } = new TaskFamily(task);
  const kind = task.zeroTask ? "coefficient vectors" : "coefficient vectors other than zero";
  return `${formatStep(task.trainTasks)} of ${formatStep(taskCount)} ${kind} in training`;
}

function facts(run: RunData): Fact[] {
  const { config } = run;
  const last = run.records.at(-1)?.ensemble;
  const ceiling = run.references.unseenTasks?.ceiling;
  const peak = run.detector.peakMutualInformation;
  return [
    {
      term: "accuracy, unseen tasks",
      value: formatPercent(last?.unseenTasks?.accuracy),
      note: ceiling === undefined ? undefined : `ceiling ${formatPercent(ceiling)}`,
    },
    { term: "accuracy, seen tasks", value: formatPercent(last?.seenTasks?.accuracy) },
    ...(last?.trainPrompts
      ? [{ term: "accuracy, pool", value: formatPercent(last.trainPrompts.accuracy) }]
      : []),
    {
      term: "MI, unseen tasks",
      value: `${formatNumber(last?.unseenTasks?.mutualInformation)} nats`,
      note: peak === null ? undefined : `peak ${formatNumber(peak)} nats`,
    },
    {
      term: "ensemble",
      value: `K = ${membersOf(run)} members`,
      note: `${config.model.nLayers} layers, d = ${config.model.dModel}, ${formatStep(config.training.steps)} steps`,
    },
  ];
}

function diagnosisSection(run: RunData): string {
  const remarks = [verdict(run), ...diagnose(run)];
  return section("Where the diagnostic worked and where not", bulletList(remarks));
}

function bootstrapNote({ config: { ensemble } }: RunData): string[] {
  if (ensemble.bootstrap === undefined) return [];
  const [what, own] =
    ensemble.bootstrap === "prompts"
      ? ["prompts of the pool", "these"]
      : ["training tasks", "prompts of these"];
  return [
    `Each member was trained on ${what} drawn with replacement (ensemble.bootstrap), and what it has learnt of its training is measured on ${own} alone; the ensemble is measured on all.`,
  ];
}

function readingGuide(run: RunData): string[] {
  const members = membersOf(run);
  return [
    `Every number is measured on fixed prompts that are never trained on${run.config.task.promptPool === 0 ? "" : ", but for those of the pool"}, for the answer at the last position unless a figure says otherwise. Seen tasks occur in training, unseen ones do not.`,
    run.config.task.promptPool === 0
      ? "Memorised and grok are the first evaluation of three in a row at which the ensemble has come 90 % of the way from chance to the ceiling, on seen and on unseen tasks. Both need labels."
      : "Memorised, generalised and grok are the first evaluation of three in a row at which the median member has come 90 % of the way from chance to the ceiling: on prompts of the pool, where the ceiling is that of a look-up table, on fresh prompts of seen tasks, and on unseen tasks. All need labels.",
    ...bootstrapNote(run),
    "Mutual information (MI) is the part of the predictive entropy that comes from the members contradicting each other. MI peak and collapse are found from the predictions alone, without a label; the collapse is where MI falls to half of its peak and stays there for three evaluations.",
    "A collapse of MI is evidence for generalisation, not a proof of it. Members can agree on a wrong answer, generalisation can pass, and untrained members agree because they all know nothing.",
    `The plug-in estimate of MI is biased low and grows with the number of members, up to log K = ${Math.log(members).toFixed(2)} nats for K = ${members}. Compare runs only at equal K.`,
    "Expected entropy does not go to zero where the context leaves several tasks possible: that is what the exact predictor G is uncertain about as well. The reference to hold it against is the entropy of G, not zero.",
    "MI need not fall as the context grows. With no example there is nothing to infer the task from, so all members can agree on the uniform answer; with a few they can differ; with enough they agree again.",
  ];
}

function membersSection(run: RunData): string {
  if (!run.summary) return "";
  const { references, perMember, meanPrediction, accuracy } = run.summary;
  const pooled = references.trainPrompts !== undefined;
  const ceiling = (set: "seenTasks" | "unseenTasks") => {
    const value = references[set]?.ceiling;
    return value === undefined ? "" : ` (ceiling ${formatPercent(value)})`;
  };
  const failed = perMember.some((member) => member.failedStep !== null);
  const events = ({ memorisedStep, generalisedStep, grokStep }: LabelledEvents) => [
    formatStep(memorisedStep),
    ...(pooled ? [formatStep(generalisedStep)] : []),
    formatStep(grokStep),
    grokStep !== null && memorisedStep ? `${(grokStep / memorisedStep).toFixed(1)} ×` : "–",
  ];
  const accuracies = ({ trainPrompts, seenTasks, unseenTasks }: FinalAccuracy) => [
    ...(pooled ? [formatPercent(trainPrompts)] : []),
    formatPercent(seenTasks),
    formatPercent(unseenTasks),
  ];
  return section(
    "Members",
    htmlTable({
      caption: `Each member by itself${meanPrediction ? ", and the mean of their predictions" : ""}. Delay: grok step divided by memorised step.`,
      head: [
        "member",
        "memorised",
        ...(pooled ? ["generalised"] : []),
        "grok",
        "delay",
        "final loss (nats)",
        ...(pooled ? ["pool"] : []),
        `seen tasks${ceiling("seenTasks")}`,
        `unseen tasks${ceiling("unseenTasks")}`,
        ...(failed ? ["failed at"] : []),
      ],
      rows: [
        ...perMember.map((member) => [
          String(member.member),
          ...events(member),
          formatNumber(member.finalLoss),
          ...accuracies(member.accuracy),
          ...(failed ? [formatStep(member.failedStep)] : []),
        ]),
        ...(meanPrediction
          ? [["mean", ...events(meanPrediction), "–", ...accuracies(accuracy), ...(failed ? ["–"] : [])]]
          : []),
      ],
    }),
  );
}

function referencesSection(run: RunData): string {
  if (!run.summary) return "";
  const { references } = run.summary;
  const pooled = references.trainPrompts !== undefined;
  return section(
    "Exact references",
    htmlTable({
      caption: `Computed by enumerating the hypotheses. G takes all tasks, M only the training tasks as equally likely. Support of M: share of prompts that some training task explains.${pooled ? " Look-up table: accuracy of who remembers the whole pool." : ""}`,
      head: [
        "probe set",
        "prompts",
        "chance",
        "ceiling (G)",
        "accuracy of M",
        "entropy of G (nats)",
        "support of M",
        ...(pooled ? ["look-up table"] : []),
      ],
      rows: probeSets.flatMap((set) => {
        const reference = references[set];
        if (!reference) return [];
        return [
          [
            setNames[set],
            String(reference.prompts),
            formatPercent(reference.chance),
            formatPercent(reference.ceiling),
            formatPercent(reference.memorisingAccuracy),
            formatNumber(reference.entropyG),
            formatPercent(reference.supportM),
            ...(pooled ? [formatPercent(reference.lookUpCeiling)] : []),
          ],
        ];
      }),
    }),
  );
}
