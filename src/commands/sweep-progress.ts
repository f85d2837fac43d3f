/** Progress of a sweep on stderr: a bar on a terminal, else lines. */
import { MultiBar, type Options, type SingleBar } from "cli-progress";
import type { RunStart } from "../run/observer.ts";
import { inWords, type SweepRun } from "../sweep/expand.ts";
import type { SweepObserver, SweepStart } from "../sweep/observer.ts";
import { counted, formatDuration } from "./format.ts";
import { widthHint } from "./progress.ts";
import { BAR_STYLE, barLine, canRedraw, columnsOf, type Part, type ProgressStream } from "./terminal.ts";

/** Without a terminal, lines closer together than this are not all printed. */
const PLAIN_INTERVAL_SECONDS = 5;
const LIVE_INTERVAL_MILLISECONDS = 500;

export interface SweepProgress extends SweepObserver {
  /** Leaves the terminal as it was; idempotent. */
  close(): void;
}

/** Quiet is without progress: what went wrong is told all the same. */
export function sweepProgress(stream: ProgressStream, quiet: boolean): SweepProgress {
  const tally = new Tally();
  const bars =
    quiet || !canRedraw(stream) ? null : new MultiBar({ stream, ...BAR_STYLE, format: line(stream) });
  let bar: SingleBar | undefined;
  let timer: NodeJS.Timeout | undefined;
  let printedAt = Number.NEGATIVE_INFINITY;
  let hinted = false;
  let waited = "";
  const print = (text: string) => {
    if (!bar) return void stream.write(`${text}\n`);
    bars!.log(`${text}\n`);
    // What waits when the bars stop is lost.
    bars!.update();
  };
  const redraw = () => bar?.update(tally.share(), { count: tally.count(), parts: tally.parts() });
  const say = (text: string) => {
    if (!quiet) print(text);
  };
  return {
    started(start) {
      tally.start(start);
      say(opening(start));
      if (!bars || start.open.length === 0) return;
      bar ??= bars.create(1, 0, { count: "", parts: [] });
      timer ??= setInterval(redraw, LIVE_INTERVAL_MILLISECONDS);
      redraw();
    },
    runStarted(run, start) {
      tally.begin(run, start);
      if (hinted) return;
      hinted = true;
      for (const hint of widthHint(start.core)) say(hint);
    },
    runLeft: (run) => tally.leave(run),
    runEnded(run, { state, message }) {
      tally.end(run);
      if (state === "failed") print(`failed: ${inWords(run.settings)}: ${message}`);
      if (bars) return redraw();
      const now = performance.now() / 1000;
      if (!tally.done() && now - printedAt < PLAIN_INTERVAL_SECONDS) return;
      printedAt = now;
      say([tally.count(), inWords(run.settings), ...tally.parts().map(({ text }) => text)].join("  "));
    },
    waiting(runs) {
      const text = `waiting for ${counted(runs.length, "run")} of other processes`;
      if (text !== waited) say(text);
      waited = text;
    },
    warned: (message) => print(`warning: ${message}`),
    close() {
      if (timer === undefined) return;
      clearInterval(timer);
      timer = undefined;
      redraw();
      bars?.stop();
      bar = undefined;
    },
  };
}

function opening({ directory, runs, open, workers }: SweepStart): string {
  const earlier = runs.length - open.length;
  const before = earlier > 0 ? `, ${earlier} of them done before` : "";
  const members = new Set(runs.map((run) => run.members));
  const each = members.size === 1 ? ` of ${counted([...members][0], "member")}` : "";
  return `${directory}: ${counted(runs.length, "run")}${each}${before}, ${counted(workers, "worker")}`;
}

/** What share is done of what was left at the beginning, by nominal FLOPs. */
class Tally {
  readonly #active = new Map<string, { run: SweepRun; start: RunStart }>();
  readonly #open = new Map<string, SweepRun>();
  #startedAt = 0;
  #runs = 0;
  /** FLOPs of what was left, and of what has come to its end since. */
  #left = 0;
  #ended = 0;
  /** FLOPs of parts of runs that had been done before. */
  #given = 0;

  start({ runs, open }: SweepStart): void {
    this.#startedAt ||= performance.now();
    this.#runs = runs.length;
    for (const run of open) {
      if (!this.#open.has(run.run)) this.#left += run.flops;
      this.#open.set(run.run, run);
    }
  }

  begin(run: SweepRun, start: RunStart): void {
    this.#active.set(run.run, { run, start });
    this.#given += run.flops * shareOf(start.memberSteps, run.steps);
  }

  leave(run: SweepRun): void {
    this.#active.delete(run.run);
  }

  end(run: SweepRun): void {
    this.#active.delete(run.run);
    if (this.#open.delete(run.run)) this.#ended += run.flops;
  }

  done(): boolean {
    return this.#open.size === 0;
  }

  count(): string {
    return `${this.#runs - this.#open.size}/${this.#runs}`;
  }

  share(): number {
    return this.#left === 0 ? 1 : Math.min(1, this.#progress() / this.#left);
  }

  parts(): Part[] {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const made = this.#progress() - this.#given;
    const running = this.#active.size > 0 ? [{ text: `${this.#active.size} running`, weight: 0 }] : [];
    if (made <= 0 || this.done()) return running;
    const eta = ((this.#left - this.#progress()) / made) * seconds;
    return [...running, { text: `ETA ${formatDuration(Math.max(0, eta))}`, weight: 1 }];
  }

  #progress(): number {
    const under = [...this.#active.values()].map(({ run, start }) => {
      const steps = start.memberSteps.map((from, member) => Math.max(from, start.progress(member).step));
      return run.flops * shareOf(steps, run.steps);
    });
    return under.reduce((sum, flops) => sum + flops, this.#ended);
  }
}

const shareOf = (memberSteps: readonly number[], steps: number) =>
  memberSteps.reduce((sum, step) => sum + step / steps, 0) / memberSteps.length;

const line =
  (stream: ProgressStream): NonNullable<Exclude<Options["format"], string>> =>
  (_, state, { count, parts }) =>
    barLine(columnsOf(stream), "", state.progress, [{ text: `${count} runs`, weight: 2 }, ...parts]);
