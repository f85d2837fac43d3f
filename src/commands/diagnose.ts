/** `epigrok diagnose`: whether an ensemble has generalised, from predictions without labels, of a run or of any program. */
import { basename } from "node:path";
import type { Argv, CommandModule } from "yargs";
import type { Diagnosis, DiagnosisResult, DiagnosisSettings } from "../diagnosis/diagnose.ts";
import { messageOf, UsageError } from "../errors.ts";
import { stopOnSignal } from "./signals.ts";

interface DiagnoseArguments {
  dir?: string;
  predictions?: string;
  steps?: string;
  cycle?: string;
  seen?: string;
  logits: boolean;
  chance?: number;
  ceiling?: number;
  cycleChance?: number;
  cycleCeiling?: number;
  follow: boolean;
  json: boolean;
  report?: string;
}

/** Of the table in the terminal; the first and the last evaluation are among them. */
const MOST_ROWS = 24;

export const diagnoseCommand: CommandModule<object, DiagnoseArguments> = {
  command: "diagnose [dir]",
  describe: "tell from predictions without labels whether an ensemble has generalised",
  builder: (yargs: Argv) =>
    yargs
      .positional("dir", { type: "string", describe: "a run that has kept its predictions" })
      .option("predictions", {
        type: "string",
        requiresArg: true,
        describe: "or a file of any program, .npy, .npz or .safetensors: steps x members x prompts x classes",
      })
      .option("steps", {
        type: "string",
        requiresArg: true,
        describe: "step of each evaluation, such as 0,500,1000, or an .npy file  [default: array steps]",
      })
      .option("cycle", {
        type: "string",
        requiresArg: true,
        describe:
          "file of predictions on prompts asked back, with labels  [default: arrays cycle, cycleLabels]",
      })
      .option("seen", {
        type: "string",
        requiresArg: true,
        describe: "file of predictions on seen tasks, with labels  [default: arrays seen, seenLabels]",
      })
      .option("logits", { type: "boolean", default: false, describe: "the predictions are logits" })
      .option("chance", {
        type: "number",
        requiresArg: true,
        describe: "accuracy of a guess  [default: one over the classes]",
      })
      .option("ceiling", {
        type: "number",
        requiresArg: true,
        describe: "best accuracy there can be on unseen tasks  [default: 1]",
      })
      .option("cycle-chance", {
        type: "number",
        requiresArg: true,
        describe: "accuracy of a guess on prompts asked back  [default: as chance]",
      })
      .option("cycle-ceiling", {
        type: "number",
        requiresArg: true,
        describe: "best accuracy there can be on prompts asked back  [default: as ceiling]",
      })
      .option("follow", {
        type: "boolean",
        default: false,
        describe: "an evaluation a line, as JSON, from --predictions as it grows or from standard input",
      })
      .option("json", { type: "boolean", default: false, describe: "print JSON" })
      .option("report", { type: "string", requiresArg: true, describe: "write an HTML file, too" })
      .epilogue(
        "The array is called predictions in .npz and .safetensors; steps, cycle, cycleLabels, seen, seenLabels and\n" +
          "unseenLabels may be there. Labels of unseen tasks are shown for comparison and not used. A line to follow:\n" +
          '{"step": 100, "predictions": [[[0.2, 0.8], ...], ...]}, members x prompts x classes.\n' +
          "How often the rule is wrong: docs/diagnosis.md.",
      ) as unknown as Argv<DiagnoseArguments>,
  handler: async (args) => {
    const { dir, predictions, follow, report } = args;
    if ((dir ? 1 : 0) + (predictions || follow ? 1 : 0) !== 1)
      throw new UsageError("diagnose: give a run, or --predictions FILE, or --follow");
    if (dir) refuseWithRun(args);
    if (follow) {
      await followLines(args);
      return;
    }
    const { requirePlace } = await import("../report/output.ts");
    if (report) await requirePlace(report, "HTML report");
    const diagnosis = dir ? await ofRun(dir) : await ofFile(predictions!, args);
    const text = args.json ? JSON.stringify(diagnosis.result) : await inText(diagnosis.result);
    console.log(text);
    if (report) {
      const { writeDiagnosis } = await import("../report/diagnosis-page.ts");
      console.error(`Report: ${await writeDiagnosis(diagnosis, basename(dir ?? predictions!), report)}`);
    }
  },
};

/** What a run itself says. */
const OF_FILES = "steps cycle seen logits chance ceiling cycle-chance cycle-ceiling follow".split(" ");

function refuseWithRun(args: object): void {
  const options = args as Record<string, unknown>;
  const given = OF_FILES.find((name) => options[name] !== undefined && options[name] !== false);
  if (given) throw new UsageError(`--${given} goes with --predictions: a run says it itself`);
}

async function ofRun(dir: string): Promise<Diagnosis> {
  const { readRun } = await import("../run/read.ts");
  const { diagnoseRun } = await import("../diagnosis/diagnose-run.ts");
  const { withoutPredictions } = await import("../diagnosis/kept-evaluations.ts");
  const run = await readRun(dir);
  const diagnosis = await diagnoseRun(run);
  if (diagnosis) return diagnosis;
  throw withoutPredictions(run);
}

async function ofFile(path: string, { steps, cycle, seen, ...args }: DiagnoseArguments): Promise<Diagnosis> {
  const { readPredictions } = await import("../diagnosis/files.ts");
  const { runDiagnosis } = await import("../diagnosis/diagnose.ts");
  const listed = steps === undefined ? undefined : stepsIn(steps);
  const read = await readPredictions(path, { cycle, seen, steps: listed ? undefined : steps });
  try {
    return runDiagnosis({ ...read, ...(listed && { steps: listed }), ...settingsOf(args) });
  } catch (error) {
    throw error instanceof RangeError ? new UsageError(`${path}: ${messageOf(error)}`) : error;
  }
}

/** undefined for a path. @throws UsageError for a list of anything but numbers */
function stepsIn(text: string): number[] | undefined {
  if (/\.npy$/i.test(text) || !/^[\s\d,+-]/.test(text)) return undefined;
  return text.split(",").map((part) => {
    if (!/^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(part))
      throw new UsageError(`--steps: got "${text}", must be numbers such as 0,500,1000, or an .npy file`);
    return Number(part);
  });
}

const settingsOf = ({
  logits,
  chance,
  ceiling,
  cycleChance,
  cycleCeiling,
}: DiagnosisSettings): DiagnosisSettings => ({ logits, chance, ceiling, cycleChance, cycleCeiling });

async function inText(result: DiagnosisResult): Promise<string> {
  const { alignedText } = await import("../report/text-table.ts");
  const { thin } = await import("../analysis/selection.ts");
  const { diagnosisWords } = await import("../diagnosis/words.ts");
  const share = (value: number | null) => (value === null ? "-" : value.toFixed(3));
  return alignedText({
    head: ["step", "state", "probability", "estimate", "from", "to", "labels", "MI"],
    rows: thin(result.evaluations, MOST_ROWS).map((e) => [
      String(e.step),
      e.state,
      share(e.generalised),
      ...[e.estimatedAccuracy.value, e.estimatedAccuracy.low, e.estimatedAccuracy.high].map(share),
      share(e.accuracy),
      share(e.statistics.mutualInformation),
    ]),
    caption: diagnosisWords(result),
  });
}

/** Prints what each line says as soon as it is there. */
async function followLines({
  predictions,
  json,
  report,
  cycle,
  seen,
  steps,
  ...args
}: DiagnoseArguments): Promise<void> {
  if (report || cycle || seen || steps)
    throw new UsageError(
      "--follow prints as lines come: --report, --cycle, --seen and --steps do not go with it",
    );
  const { Diagnosis } = await import("../diagnosis/diagnose.ts");
  const { parseEvaluation } = await import("../diagnosis/stream.ts");
  const { diagnosisWords } = await import("../diagnosis/words.ts");
  const { linesOfFile, linesOfInput } = await import("./follow.ts");
  const interruption = stopOnSignal(() => {});
  const { signal } = interruption;
  const diagnosis = new Diagnosis(settingsOf(args));
  let number = 0;
  try {
    for await (const line of predictions ? linesOfFile(predictions, signal) : linesOfInput(signal)) {
      number++;
      if (line.trim() === "") continue;
      const evaluation = diagnosis.push(parseEvaluation(line));
      const { alarmStep } = diagnosis.result;
      console.log(json ? JSON.stringify({ ...evaluation, alarmStep }) : diagnosisWords(diagnosis.result));
    }
  } catch (error) {
    if (!signal.aborted)
      throw error instanceof RangeError
        ? new UsageError(`${predictions ?? "standard input"}, line ${number}: ${messageOf(error)}`)
        : error;
  } finally {
    interruption.dispose();
  }
  if (signal.aborted) process.exitCode = interruption.exitCode();
}
