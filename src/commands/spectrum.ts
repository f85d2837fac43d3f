/** `epigrok spectrum`: the curvature of the training loss at the checkpoints of a run. */
import type { Argv, CommandModule } from "yargs";
import type { KeyedSpectrumJob } from "../analysis/spectra.ts";
import type { SpectrumRecord } from "../analysis/spectrum-job.ts";
import type { Grouping } from "../curvature/groups.ts";
import { type CheckpointArguments, checkpointOptions } from "./checkpoint-options.ts";
import { namesIn, positiveInteger } from "./flags.ts";

interface SpectrumArguments extends CheckpointArguments {
  operator: string;
  k: number;
  data: number;
  llc: boolean;
  by?: Grouping;
}

export const spectrumCommand: CommandModule<object, SpectrumArguments> = {
  command: "spectrum <run>",
  describe: "eigenvalues, trace and spectral density of the curvature through training",
  builder: async (yargs: Argv) => {
    const { GROUPINGS } = await import("../curvature/groups.ts");
    return checkpointOptions(yargs, {
      ...{ steps: "all", checkpoints: 8, members: "1" },
      aboutMembers: "the first N members, or all",
      aboutJson: "print the spectra as one JSON object",
    })
      .option("operator", {
        type: "string",
        default: "ggn,hessian",
        requiresArg: true,
        describe: "ggn, hessian, or both separated by a comma",
      })
      .option("k", { type: "number", default: 10, requiresArg: true, describe: "eigenvalues from the top" })
      .option("data", {
        type: "number",
        default: 2048,
        requiresArg: true,
        describe: "training predictions that the loss is a mean over, at least",
      })
      .option("llc", {
        type: "boolean",
        default: false,
        describe: "estimate the local learning coefficient as well",
      })
      .option("by", {
        choices: GROUPINGS,
        requiresArg: true,
        describe: "eigenvalues and trace of each layer, or each block of the network, as well",
      })
      .epilogue(
        "Results are appended to spectrum.jsonl in the run, and what is there already is not computed again.",
      ) as unknown as Argv<SpectrumArguments>;
  },
  handler: async (args) => {
    const { OPERATORS } = await import("../analysis/spectrum-job.ts");
    const { operatorOf, runSpectra } = await import("../analysis/spectra.ts");
    const what = {
      operators: namesIn(args.operator, OPERATORS, "operator"),
      data: positiveInteger("data", args.data),
      k: positiveInteger("k", args.k),
      llc: args.llc,
      by: args.by,
    };
    const { analyse } = await import("./analyse.ts");
    await analyse<KeyedSpectrumJob, SpectrumRecord>(args, {
      schema: "epigrok-spectrum/1",
      run: (options) => runSpectra(args.run, { ...options, ...what }),
      results: table,
      kindOf: operatorOf,
      seconds: ({ seconds }) => seconds,
      describe: ({ operator, step, member, largest }) =>
        `${operator} at step ${step}, member ${member}: largest eigenvalue ${largest[0].toPrecision(3)}`,
    });
  },
};

async function table(records: readonly SpectrumRecord[]) {
  const { withoutFailedEstimate } = await import("../analysis/spectrum-job.ts");
  const sorted = records
    .map(withoutFailedEstimate)
    .sort((a, b) => a.step - b.step || a.member - b.member || a.operator.localeCompare(b.operator));
  return {
    json: { records: sorted },
    text: async () => {
      const { markdown } = await import("../report/posterior-tables.ts");
      const { failedCoefficients, groupTable, spectrumTable } = await import("../report/spectrum-table.ts");
      const groups = groupTable(sorted);
      return [
        markdown(spectrumTable(sorted)),
        ...(groups ? [markdown(groups)] : []),
        ...failedCoefficients(sorted),
      ].join("\n\n");
    },
  };
}
