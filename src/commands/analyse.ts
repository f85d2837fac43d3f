/** One analysis of the checkpoints of a run as a command: progress, stopping, and what the end prints. */
import type { JobsOutcome, RunnerOptions } from "../analysis/job-runner.ts";
import { type CheckpointArguments, type CheckpointChoice, checkpointChoice } from "./checkpoint-options.ts";
import { type JobTexts, jobProgress } from "./job-progress.ts";
import { reportOn } from "./report-on.ts";
import { stopOnSignal } from "./signals.ts";

interface AnalysisCommand<Job, Record extends Job> extends JobTexts<Job, Record> {
  /** Of the JSON object. */
  schema: string;
  run: (options: CheckpointChoice & RunnerOptions<Job, Record>) => Promise<JobsOutcome<Record>>;
  /** The results, as the fields of the JSON object and as text. */
  results: (records: Record[]) => Promise<{ json: object; text: () => Promise<string> }>;
}

/** @throws UsageError for an option that is not allowed, and what `run` throws */
export async function analyse<Job, Record extends Job>(
  args: CheckpointArguments,
  { schema, run, results, ...texts }: AnalysisCommand<Job, Record>,
): Promise<void> {
  const choice = checkpointChoice(args);
  const progress = jobProgress<Job, Record>(process.stderr, args.quiet, texts);
  const interruption = stopOnSignal(() => progress.close());
  try {
    const { status, records, failures } = await run({
      ...choice,
      signal: interruption.signal,
      observer: progress,
    });
    progress.close();
    if (status === "stopped") {
      console.error("Stopped; what is done is kept. The same command goes on with the rest.");
      process.exitCode = interruption.exitCode();
      return;
    }
    const { json, text } = await results(records);
    const report = await reportOn(args.run);
    if (args.json) console.log(JSON.stringify({ schema, runDir: args.run, ...json, failures }));
    else console.log(`${await text()}${report === null ? "" : `\n\nreport     ${report}`}`);
    if (failures.length > 0) process.exitCode = 1;
  } finally {
    progress.close();
    interruption.dispose();
  }
}
