/** Progress of a run for people, on stderr: live bars on a terminal, plain lines elsewhere. */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { MultiBar, type Options } from "cli-progress";
import type { CoreModule } from "../core/module.ts";
import { newerNodeMerges } from "../core/simd.ts";
import { readEvents } from "../run/events.ts";
import type { RunObserver, RunStart } from "../run/observer.ts";
import type { MetricsRecord, RunEvents } from "../run/records.ts";
import { estimateCost } from "../training/cost.ts";
import { counted, formatDuration, sharing, shortNumber } from "./format.ts";
import { quoted } from "./signals.ts";
import {
  BAR_STYLE,
  barLine,
  canRedraw,
  columnsOf,
  fitted,
  type Part,
  type ProgressStream,
} from "./terminal.ts";

/** Without a terminal, evaluations closer together than this are not all printed. */
const PLAIN_INTERVAL_SECONDS = 5;
const LIVE_INTERVAL_MILLISECONDS = 200;

export interface Progress extends RunObserver {
  /** Prints a line beside the progress, or without one. */
  say(line: string): void;
  /** Leaves the terminal as it was; idempotent. */
  close(): void;
}

const MILESTONES: Record<keyof RunEvents, string> = {
  memorisedStep: "seen tasks memorised",
  generalisedStep: "fresh prompts of seen tasks solved",
  grokStep: "unseen tasks solved (grokked)",
  uncertaintyPeakStep: "uncertainty peak so far",
  collapseStep: "uncertainty collapsed",
};
const POOL_MEMORISED = "prompt pool memorised";

/** Quiet is without progress: what went wrong is told all the same. */
export function createProgress(stream: ProgressStream, quiet: boolean): Progress {
  const print = (line: string) => stream.write(`${line}\n`);
  if (quiet) return { ...troubles(print), say: print, close: () => {} };
  return canRedraw(stream) ? liveProgress(stream) : plainProgress(print);
}

function troubles(print: (line: string) => void): Pick<RunObserver, "memberFailed" | "warned"> {
  return {
    memberFailed: ({ message }) => print(message),
    warned: (message) => print(`warning: ${message}`),
  };
}

function plainProgress(print: (line: string) => void): Progress {
  let speed: Speedometer;
  let milestones: Milestones;
  let printedAt = Number.NEGATIVE_INFINITY;
  return {
    started(start) {
      speed = new Speedometer(start);
      milestones = new Milestones(start);
      for (const line of opening(start)) print(line);
    },
    evaluated(record, { seconds }, records) {
      const news = milestones.news(records);
      for (const line of news) print(line);
      const last = record.step === speed.steps;
      if (!last && news.length === 0 && seconds - printedAt < PLAIN_INTERVAL_SECONDS) return;
      printedAt = seconds;
      const parts = [...scores(record), ...speed.parts()].map(({ text }) => text);
      print([`step ${record.step}/${speed.steps}`, ...parts].join("  "));
    },
    ...troubles(print),
    say: print,
    close: () => {},
  };
}

function liveProgress(stream: ProgressStream): Progress {
  const bars = new MultiBar({
    stream,
    ...BAR_STYLE,
    format: (_, state, line) => memberLine(stream, state, line),
  });
  let milestones: Milestones;
  let timer: NodeJS.Timeout | undefined;
  let redraw = () => {};
  let onRecord: (record: MetricsRecord) => void = () => {};
  return {
    started(start) {
      const speed = new Speedometer(start);
      milestones = new Milestones(start);
      for (const line of opening(start)) stream.write(`${line}\n`);
      const members = start.memberSteps.map((step, member) =>
        bars.create(speed.steps, step, { label: member, loss: "-", seen: "-", unseen: "-" }),
      );
      const format: Formatter = (_, __, { parts }) =>
        `ensemble ${fitted(columnsOf(stream) - "ensemble ".length, parts)}`;
      const ensemble = bars.create(1, 0, { parts: [] }, { format });
      let latestScores: Part[] = [];
      onRecord = (record) => {
        latestScores = scores(record);
        for (const { member, sets } of record.members) {
          const seen = percent(sets.seenTasks?.accuracy);
          members[member].update({ seen, unseen: percent(sets.unseenTasks?.accuracy) });
        }
      };
      redraw = () => {
        for (const [member, bar] of members.entries()) {
          const { loss } = start.progress(member);
          bar.update(speed.stepOf(member), Number.isNaN(loss) ? {} : { loss: loss.toFixed(3) });
        }
        ensemble.update(0, { parts: [...latestScores, ...speed.parts()] });
      };
      const latest = start.records.at(-1);
      if (latest) onRecord(latest);
      redraw();
      timer = setInterval(() => redraw(), LIVE_INTERVAL_MILLISECONDS);
    },
    evaluated(record, _, records) {
      onRecord(record);
      for (const line of milestones.news(records)) bars.log(`${line}\n`);
    },
    memberFailed: ({ message }) => bars.log(`${message}\n`),
    // Comes before the bars are there.
    warned: (message) => void stream.write(`warning: ${message}\n`),
    say: (line) => void (timer === undefined ? stream.write(`${line}\n`) : bars.log(`${line}\n`)),
    close() {
      if (timer === undefined) return;
      clearInterval(timer);
      timer = undefined;
      redraw();
      bars.stop();
    },
  };
}

interface MemberLine {
  label: number;
  loss: string;
  seen: string;
  unseen: string;
}

type Formatter = NonNullable<Exclude<Options["format"], string>>;

/** The unseen tasks are what a run is about: they stay on the narrowest terminal. */
function memberLine(
  stream: ProgressStream,
  { value, total, progress }: Parameters<Formatter>[1],
  { label, loss, seen, unseen }: MemberLine,
): string {
  return barLine(columnsOf(stream), `member ${label} `, progress, [
    { text: `${value}/${total}`, weight: 2 },
    { text: `loss ${loss}`, weight: 0 },
    { text: `seen ${seen}`, weight: 1 },
    { text: `unseen ${unseen}`, weight: 3 },
  ]);
}

function opening({ runDir, config, workers, threadsPerMember, core, records }: RunStart): string[] {
  const { parameters } = estimateCost(config);
  const resumed = records.length > 0 ? `, resumed after step ${records[records.length - 1].step}` : "";
  return [
    `${runDir}: ${counted(config.ensemble.members, "member")} of ${parameters} parameters, ` +
      `${counted(workers, "worker")}${sharing(threadsPerMember)}, ${core.math} math ${core.simd} bits wide${resumed}`,
    ...widthHint(core),
  ];
}

/** How the same could be had sooner, or why it could not. */
export function widthHint({ narrowBecause }: Pick<CoreModule, "narrowBecause">): string[] {
  if (narrowBecause === null) return [];
  if (!newerNodeMerges()) return [`128 bits wide: ${narrowBecause}`];
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const name = root.includes("node_modules") ? "epigrok" : relative(process.cwd(), root) || ".";
  return [
    `Node 24 or later does the same about 1.7 times as fast on a processor with AVX2: npx -p node@26 -p ${quoted(name)} epigrok ...`,
  ];
}

/** The ensemble's scores on the prompts of a pool, on the tasks of the training and on unseen ones. */
function scores({ ensemble: { seenTasks, unseenTasks, trainPrompts } }: MetricsRecord): Part[] {
  const information = unseenTasks ? `${unseenTasks.mutualInformation.toFixed(3)} nats` : "-";
  return [
    ...(trainPrompts ? [{ text: `pool ${percent(trainPrompts.accuracy)}`, weight: 1 }] : []),
    { text: `seen ${percent(seenTasks?.accuracy)}`, weight: 3 },
    { text: `unseen ${percent(unseenTasks?.accuracy)}`, weight: 5 },
    { text: `MI ${information}`, weight: 4 },
  ];
}

const percent = (share: number | undefined) => (share === undefined ? "-" : `${(100 * share).toFixed(1)} %`);

/** Tokens per second and remaining time, over what this part of the run has done so far. */
class Speedometer {
  readonly steps: number;
  readonly #start: RunStart;
  readonly #tokensPerStep: number;
  readonly #startedAt = performance.now();

  constructor(start: RunStart) {
    this.#start = start;
    this.steps = start.config.training.steps;
    this.#tokensPerStep = estimateCost(start.config).tokensPerStep;
  }

  stepOf(member: number): number {
    return Math.max(this.#start.memberSteps[member], this.#start.progress(member).step);
  }

  parts(): Part[] {
    const { memberSteps } = this.#start;
    const seconds = (performance.now() - this.#startedAt) / 1000;
    let done = 0;
    let left = 0;
    for (const [member, from] of memberSteps.entries()) {
      done += this.stepOf(member) - from;
      left += this.steps - this.stepOf(member);
    }
    if (done === 0) return [];
    const rate = done / seconds;
    return [
      { text: `${shortNumber(rate * this.#tokensPerStep)} tokens/s`, weight: 0 },
      { text: `ETA ${formatDuration(left / rate)}`, weight: 2 },
    ];
  }
}

/** Events of the run that have become known since they were last asked for. */
class Milestones {
  readonly #start: RunStart;
  #known: RunEvents;

  constructor(start: RunStart) {
    this.#start = start;
    this.#known = this.#events(start.records);
  }

  news(records: readonly MetricsRecord[]): string[] {
    const before = this.#known;
    this.#known = this.#events(records);
    return (Object.keys(MILESTONES) as (keyof RunEvents)[]).flatMap((event) => {
      const step = this.#known[event];
      // The provisional peak moves with every new maximum: only its first appearance is news.
      const isNews = step != null && before[event] == null;
      const pooled = event === "memorisedStep" && this.#start.config.task.promptPool > 0;
      return isNews ? [`${pooled ? POOL_MEMORISED : MILESTONES[event]}: step ${step}`] : [];
    });
  }

  #events(records: readonly MetricsRecord[]): RunEvents {
    const none = { memorisedStep: null, grokStep: null, uncertaintyPeakStep: null, collapseStep: null };
    if (records.length === 0) return none;
    return readEvents(records, this.#start.references(), this.#start.config.task.modulus).events;
  }
}
