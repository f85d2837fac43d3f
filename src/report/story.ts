/** What happened in a run, for a reader with ten seconds: one sentence in all, and one for each event. */
import { labelledEvents } from "../run/events.ts";
import type { LabelledEvents, LabelledRun } from "../uncertainty/events.ts";
import { NO_DELAY } from "../uncertainty/verdict.ts";
import { membersOf } from "./figures/events.ts";
import { formatNumber, formatOctaves, formatStep } from "./format.ts";
import type { RunData } from "./read-run.ts";

/** Two steps this near, in octaves, are told as one event. */
const NEAR = 0.25;

/** What of a run is told; it may still go on. */
export type Told = Pick<RunData, "events" | "records" | "references" | "config" | "detector"> & {
  /** null: unfinished. */
  summary: object | null;
};

/** A chapter of the story. */
export interface Chapter {
  /** What it is about, as a heading. */
  event: string;
  text: string;
}

/** The whole run in a sentence. Empty for a run without an evaluation. */
export function headline(run: Told): string {
  const { events, records, config, detector } = run;
  if (records.length === 0) return "";
  const pooled = config.task.promptPool > 0;
  const { memorisedStep, grokStep, collapseStep } = events;
  const so = run.summary ? "" : " so far";
  const trained = pooled ? "the prompts it trains on" : "the tasks it trains on";
  const learnt =
    grokStep !== null
      ? memorisedStep === null || grokStep <= NO_DELAY * memorisedStep
        ? `It generalised to unseen tasks as it learnt ${trained}, without delay`
        : `It memorised ${trained}, and generalised to unseen tasks after ${times(grokStep, memorisedStep)} as many steps`
      : (events.generalisedStep ?? null) !== null
        ? `It generalised to fresh prompts of the tasks it trains on, but not to unseen tasks${so}`
        : memorisedStep !== null
          ? `It memorised ${trained} and did not generalise to unseen tasks${so}`
          : `It did not learn ${trained}${so}`;
  return `${learnt}; ${signal()}.`;

  function signal(): string {
    if (membersOf(run) === 1) return "one member has no disagreement to tell it by";
    if (collapseStep === null)
      return grokStep !== null
        ? `the members' disagreement does not show it${so}`
        : detector.peakMutualInformation === null
          ? `the members never disagreed much${so}`
          : `the members still disagree: no alarm, rightly${so}`;
    if (grokStep === null) return "the members came to agree nevertheless: a false alarm, by unseen tasks";
    return Math.abs(Math.log2(collapseStep / Math.max(1, grokStep))) <= NEAR
      ? "at that time the members' disagreement collapsed, which tells it without labels"
      : `the members' disagreement collapsed ${formatOctaves(collapseStep, grokStep)} that, as seen without labels`;
  }
}

/** Each event with its step, how many times the memorised step that is, and the same of the mean prediction. */
export function story(run: Told): Chapter[] {
  const { records, references, config } = run;
  if (records.length === 0) return [];
  const labelled = labelledEvents(records, references);
  const pooled = config.task.promptPool > 0;
  const learning = (
    ["memorisedStep", ...(pooled ? (["generalisedStep"] as const) : []), "grokStep"] as const
  ).map((key) => chapter(run, labelled, key));
  return [...learning, ...uncertainty(run, labelled)];
}

const what: Record<keyof LabelledEvents, { event: string; set: (pooled: boolean) => string }> = {
  memorisedStep: {
    event: "Memorised",
    set: (pooled) => (pooled ? "the prompts it trains on" : "fresh prompts of seen tasks"),
  },
  generalisedStep: { event: "Generalised", set: () => "fresh prompts of seen tasks" },
  grokStep: { event: "Grokked", set: () => "unseen tasks" },
};

function chapter(run: Told, labelled: LabelledRun, key: keyof LabelledEvents): Chapter {
  const pooled = run.config.task.promptPool > 0;
  const { event, set } = what[key];
  const step = run.events[key] ?? null;
  const mean = labelled.meanPrediction[key] ?? null;
  const having = labelled.perMember.filter((own) => (own[key] ?? null) !== null).length;
  const members = labelled.perMember.length;
  const who = members === 1 ? "the member" : "the median member";
  const { memorisedStep } = run.events;
  const ratio = (at: number) =>
    key !== "memorisedStep" && memorisedStep ? `, ${times(at, memorisedStep)} the memorised step` : "";
  const ofMean =
    mean === null
      ? "the mean prediction not"
      : `the mean prediction at step ${formatStep(mean)}${ratio(mean)}`;
  const others = (verb: string) =>
    members === 1 ? "" : ` (${having} of ${members} members${verb}; ${ofMean})`;
  const text =
    step === null
      ? `not by step ${formatStep(run.records.at(-1)!.step)}: ${who} does not answer ${set(pooled)}${others(" do")}.`
      : `at step ${formatStep(step)}${ratio(step)}: ${who} answers ${set(pooled)}${others("")}.`;
  return { event, text };
}

function uncertainty(run: Told, { meanPrediction }: LabelledRun): Chapter[] {
  const { events, detector, records } = run;
  const { uncertaintyPeakStep: peak, collapseStep: collapse } = events;
  const { peakMutualInformation, fall } = detector;
  const now = formatNumber(records.at(-1)?.ensemble.unseenTasks?.mutualInformation);
  const members = membersOf(run);
  const when = run.summary ? "at the end" : "now";
  if (members === 1)
    return [
      {
        event: "Uncertainty",
        text: "cannot be told: one member has no mutual information, the diagnostic needs two.",
      },
    ];
  if (peak === null)
    return [{ event: "Uncertainty", text: `shows no peak: ${now} nats between ${members} members ${when}.` }];
  const steps = events.memorisedStep ? `, ${times(peak, events.memorisedStep)} the memorised step` : "";
  const peaked = {
    event: "Uncertainty peaked",
    text: `at step ${formatStep(peak)}${steps}: ${formatNumber(peakMutualInformation)} nats of mutual information between ${members} members.`,
  };
  if (collapse === null)
    return [peaked, { event: "No collapse", text: `of uncertainty: ${now} nats ${when}.` }];
  const against = [
    [events.grokStep, "the grok step"],
    [meanPrediction.grokStep, "that of the mean prediction"],
  ] as const;
  const relations = against.flatMap(([step, name]) =>
    step === null ? [] : `${formatOctaves(collapse, step)} ${name}`,
  );
  const sharpness = fall
    ? `, falling from 90 % to 50 % of the peak in ${formatStep(Math.round(fall.steps))} steps`
    : "";
  return [
    peaked,
    {
      event: "Uncertainty collapsed",
      text: `at step ${formatStep(collapse)}${relations.length > 0 ? `, ${relations.join(", ")}` : ""}${sharpness}; ${now} nats ${when}.`,
    },
  ];
}

const times = (step: number, base: number) => `${(step / base).toFixed(1)}\u202f×`;
