/** `epigrok theory`: curves, times and figures of the Bayesian linear model. */
import type { Argv, CommandModule } from "yargs";
import type { TaskRatio } from "../analysis/bridge.ts";
import type { StudyOptions } from "../report/theory/study.ts";
import type { RunData } from "../run/read.ts";
import { requireCount, requireWord } from "../validate.ts";
import { asUsage, distinctPaths } from "./flags.ts";

interface TheoryArguments {
  lambda: number;
  noise: string;
  labelNoise: number;
  u0: number;
  level: number;
  theta: number;
  simulate: boolean;
  regression: boolean;
  run: string[];
  taskRatio: TaskRatio;
  d: number;
  draws: number;
  seed: number;
  out: string;
  json: boolean;
}

export const theoryCommand: CommandModule<object, TheoryArguments> = {
  command: "theory",
  describe: "uncertainty and grokking in the Bayesian linear model, with an HTML report",
  builder: (yargs: Argv) =>
    yargs
      .option("lambda", {
        type: "number",
        default: 0.9,
        requiresArg: true,
        describe: "parameters per data point, d/N",
      })
      .option("noise", {
        choices: ["all", "fixed", "residual", "elbo"] as const,
        default: "all",
        requiresArg: true,
        describe: "how the likelihood noise is set",
      })
      .option("label-noise", {
        type: "number",
        default: 1e-4,
        requiresArg: true,
        describe: "variance of the label noise; the teacher has norm 1",
      })
      .option("u0", {
        type: "number",
        default: 0.01,
        requiresArg: true,
        describe: "initial total variance, learned noise",
      })
      .option("level", {
        type: "number",
        default: 0.01,
        requiresArg: true,
        describe: "loss that counts as arrived, between 0 and 1",
      })
      .option("theta", {
        type: "number",
        default: 0.95,
        requiresArg: true,
        describe: "accuracy at that loss",
      })
      .option("simulate", {
        type: "boolean",
        default: true,
        describe: "finite-size simulations (--no-simulate: none)",
      })
      .option("regression", {
        type: "boolean",
        default: true,
        describe: "train regressions by gradient descent (--no-regression: none)",
      })
      .option("run", {
        type: "string",
        array: true,
        default: [] as string[],
        requiresArg: true,
        describe: "run directories to set beside the linear model, as an analogy",
      })
      .option("task-ratio", {
        choices: ["unseen", "all"] as const,
        default: "unseen",
        requiresArg: true,
        describe: "what stands for lambda in a run: unseen or all (task, input) pairs per seen one",
      })
      .option("d", {
        type: "number",
        default: 400,
        requiresArg: true,
        describe: "dimension of the simulations; at most 100 for regressions",
      })
      .option("draws", {
        type: "number",
        default: 5,
        requiresArg: true,
        describe: "independent draws of each; at most 3 for regressions",
      })
      .option("seed", {
        type: "number",
        default: 0,
        requiresArg: true,
        describe: "root of the random streams",
      })
      .option("out", {
        type: "string",
        default: "runs/theory",
        requiresArg: true,
        describe: "directory for report.html, theory.json and curves.csv",
      })
      .option("json", { type: "boolean", default: false, describe: "print the study as one JSON object" })
      .epilogue(
        "Times are those of gradient flow on half the mean squared error.",
      ) as unknown as Argv<TheoryArguments>,
  handler: async (args) => {
    const { study } = await import("../report/theory/study.ts");
    const { requireTheoryDirectory, studyJson, summary, writeTheoryReport } = await import(
      "../report/theory/report.ts"
    );
    await requireTheoryDirectory(args.out);
    // First, so that a wrong directory is told at once.
    const bridge = args.run.length > 0 ? await asUsage(() => readBridge(args)) : undefined;
    const result = await asUsage(async () => study(studyOptions(args)));
    if (bridge) result.bridge = bridge;
    if (args.regression) {
      const { trainStudy } = await import("../report/theory/trained.ts");
      const { d, draws, seed } = args;
      result.trained = await asUsage(() =>
        trainStudy(result, { d: Math.min(d, mostDimensions), draws: Math.min(draws, mostDraws), seed }),
      );
    }
    const path = await writeTheoryReport(result, args.out);
    if (args.json) {
      console.log(studyJson(result));
    } else {
      const { alignedText } = await import("../report/text-table.ts");
      const { timesTable } = await import("../report/theory/times-table.ts");
      console.log(summary(result.times));
      console.log();
      console.log(alignedText(timesTable([result.times, ...result.table])));
      if (result.bridge) {
        const { bridgeSummary, bridgeTable } = await import("../report/theory/bridge-section.ts");
        console.log();
        console.log(bridgeSummary(result.bridge, args.level));
        console.log();
        console.log(alignedText(bridgeTable(result.bridge)));
      }
    }
    console.error(`report: ${path}`);
  },
};

/** Seconds of training at this size; the cost grows like the cube of the dimension. */
const mostDimensions = 100;
const mostDraws = 3;

async function readBridge({ run, level, u0, taskRatio }: TheoryArguments) {
  const { bridge } = await import("../analysis/bridge.ts");
  const { readRun } = await import("../run/read.ts");
  const runs: RunData[] = [];
  for (const directory of distinctPaths(run)) runs.push(await readRun(directory));
  return bridge(runs, { level, u0, ratio: taskRatio });
}

function studyOptions(args: TheoryArguments): StudyOptions {
  const { lambda, labelNoise, u0, level, theta, simulate, d, draws, seed } = args;
  // Also where nothing is simulated or trained.
  requireCount("d", d);
  requireCount("draws", draws);
  requireWord("seed", seed);
  return {
    lambda,
    sn2: labelNoise,
    u0,
    level,
    theta,
    ...(args.noise === "all" ? {} : { noise: [args.noise as "fixed" | "residual" | "elbo"] }),
    ...(simulate ? { simulation: { d, draws, seed } } : {}),
  };
}
