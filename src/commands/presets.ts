/** `epigrok presets`: the configurations that come with the package. */
import type { Argv, CommandModule } from "yargs";

interface PresetsArguments {
  json: boolean;
}

export const presetsCommand: CommandModule<object, PresetsArguments> = {
  command: "presets",
  describe: "list the presets",
  builder: (yargs: Argv) =>
    yargs.option("json", {
      type: "boolean",
      default: false,
      describe: "print them as a JSON list, configurations included",
    }) as unknown as Argv<PresetsArguments>,
  handler: async ({ json }) => {
    const { listPresets } = await import("../config/presets.ts");
    const { estimateCost } = await import("../training/cost.ts");
    const { shortNumber } = await import("./format.ts");
    const presets = listPresets().map((preset) => ({ ...preset, cost: estimateCost(preset.config) }));
    if (json) {
      console.log(JSON.stringify(presets));
      return;
    }
    for (const { name, description, config, cost } of presets) {
      const { training, ensemble } = config;
      console.log(`${name}\n  ${description}`);
      console.log(
        `  ${ensemble.members} x ${shortNumber(cost.parameters)} parameters, ${training.steps} steps of ` +
          `${shortNumber(cost.tokensPerStep)} tokens, ${shortNumber(cost.totalFlops)}FLOP in all`,
      );
    }
  },
};
