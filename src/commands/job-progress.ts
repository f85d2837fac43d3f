/** Progress of an analysis on stderr: a bar on a terminal, else lines. */
import { SingleBar } from "cli-progress";
import type { JobFailure, JobObserver } from "../analysis/job-runner.ts";
import { formatDuration } from "./format.ts";
import { BAR_STYLE, type ProgressStream } from "./progress.ts";

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
  if (quiet) return { close: () => {} };
  const done: Timed[] = [];
  let waiting: string[] = [];
  let total = 0;
  let workers = 1;
  let printedAt = Number.NEGATIVE_INFINITY;
  let bar: SingleBar | undefined;
  const take = (kind: string) => waiting.splice(waiting.indexOf(kind), 1);
  const eta = () => formatDuration(remainingSeconds(waiting, done) / workers);
  return {
    started({ all, open, workers: used }) {
      waiting = open.map(kindOf);
      total = open.length;
      workers = Math.max(1, used);
      const earlier = all - total;
      stream.write(
        `${all} jobs${earlier > 0 ? `, ${earlier} of them done before` : ""}, ${used} worker${used === 1 ? "" : "s"}\n`,
      );
      if (!stream.isTTY || total === 0) return;
      bar = new SingleBar({
        stream,
        ...BAR_STYLE,
        format: "[{bar}] {value}/{total}  {text}",
      });
      bar.start(total, 0, { text: "" });
    },
    done(record) {
      take(kindOf(record));
      done.push({ kind: kindOf(record), seconds: seconds(record) });
      const text = `${describe(record)}  ETA ${eta()}`;
      const finished = total - waiting.length;
      if (bar) return void bar.update(finished, { text });
      const now = performance.now() / 1000;
      if (finished < total && now - printedAt < PLAIN_INTERVAL_SECONDS) return;
      printedAt = now;
      stream.write(`${finished}/${total}  ${text}\n`);
    },
    failed(failure) {
      take(failure.method);
      stream.write(`${bar ? "\n" : ""}failed: ${failureText(failure)}\n`);
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
