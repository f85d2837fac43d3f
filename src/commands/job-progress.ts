/** Progress of an analysis on stderr: a bar on a terminal, else lines. */
import { type Options, SingleBar } from "cli-progress";
import type { JobFailure, JobObserver } from "../analysis/job-runner.ts";
import { counted, formatDuration } from "./format.ts";
import { BAR_STYLE, barLine, canRedraw, columnsOf, type Part, type ProgressStream } from "./terminal.ts";

/** Without a terminal, lines closer together than this are not all printed. */
const PLAIN_INTERVAL_SECONDS = 5;

/** What an analysis says of its jobs. */
export interface JobTexts<Job, Record> {
  /** Jobs of one kind take about the same time. */
  kindOf: (job: Job) => string;
  /** What a finished job took. */
  seconds: (record: Record) => number;
  /** A finished job in a few words. */
  describe: (record: Record) => string;
}

interface Timed {
  kind: string;
  seconds: number;
}

export interface JobProgress<Job, Record> extends JobObserver<Job, Record> {
  /** Leaves the terminal as it was; idempotent. */
  close(): void;
}

export function jobProgress<Job, Record extends Job>(
  stream: ProgressStream,
  quiet: boolean,
  { kindOf, seconds, describe }: JobTexts<Job, Record>,
): JobProgress<Job, Record> {
  const tell = (failure: JobFailure) => stream.write(`failed: ${failureText(failure)}\n`);
  // Quiet is without progress: what went wrong is told all the same.
  const warned = (message: string) => stream.write(`warning: ${message}\n`);
  if (quiet) return { failed: tell, warned, close: () => {} };
  const done: Timed[] = [];
  let waiting: string[] = [];
  let total = 0;
  let workers = 1;
  let printedAt = Number.NEGATIVE_INFINITY;
  let bar: SingleBar | undefined;
  const take = (kind: string) => waiting.splice(waiting.indexOf(kind), 1);
  const eta = () => formatDuration(remainingSeconds(waiting, done) / workers);
  return {
    warned,
    started({ all, open, workers: used }) {
      waiting = open.map(kindOf);
      total = open.length;
      workers = Math.max(1, used);
      const earlier = all - total;
      stream.write(
        `${counted(all, "job")}${earlier > 0 ? `, ${earlier} of them done before` : ""}, ${counted(used, "worker")}\n`,
      );
      if (!canRedraw(stream) || total === 0) return;
      const format: Options["format"] = (_, state, { parts }) =>
        barLine(columnsOf(stream), "", state.progress, [
          { text: `${state.value}/${state.total}`, weight: 2 },
          ...parts,
        ]);
      bar = new SingleBar({ stream, ...BAR_STYLE, format });
      bar.start(total, 0, { parts: [] });
    },
    done(record) {
      take(kindOf(record));
      done.push({ kind: kindOf(record), seconds: seconds(record) });
      const parts: Part[] = [
        { text: describe(record), weight: 0 },
        { text: `ETA ${eta()}`, weight: 1 },
      ];
      const finished = total - waiting.length;
      if (bar) return void bar.update(finished, { parts });
      const now = performance.now() / 1000;
      if (finished < total && now - printedAt < PLAIN_INTERVAL_SECONDS) return;
      printedAt = now;
      stream.write(`${[`${finished}/${total}`, ...parts.map(({ text }) => text)].join("  ")}\n`);
    },
    failed(failure) {
      take(failure.method);
      if (bar) stream.write("\n");
      tell(failure);
    },
    close() {
      bar?.stop();
      bar = undefined;
    },
  };
}

/** By the mean of the finished jobs of the same kind, or of all where there is none. */
function remainingSeconds(waiting: readonly string[], done: readonly Timed[]): number {
  const mean = (jobs: readonly Timed[]) => jobs.reduce((sum, { seconds }) => sum + seconds, 0) / jobs.length;
  const overall = mean(done);
  const kinds = new Map(
    [...new Set(waiting)].map((kind) => {
      const same = done.filter((job) => job.kind === kind);
      return [kind, same.length > 0 ? mean(same) : overall];
    }),
  );
  return waiting.reduce((sum, kind) => sum + kinds.get(kind)!, 0);
}

function failureText({ method, step, member, message }: JobFailure): string {
  return `${method} at step ${step}${member === null ? "" : `, member ${member}`}: ${message}`;
}
