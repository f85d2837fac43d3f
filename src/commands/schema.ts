/** `epigrok schema`: the configuration for editors. */
import type { Argv, CommandModule } from "yargs";

export const schemaCommand: CommandModule = {
  command: "schema",
  describe: "print the JSON Schema of configuration files, for completion and help in an editor",
  builder: (yargs: Argv) =>
    yargs.epilogue(
      "Write it once, epigrok schema > epigrok.schema.json, and let a configuration begin with the line\n" +
        "# yaml-language-server: $schema=epigrok.schema.json",
    ),
  handler: async () => {
    const { configJsonSchema } = await import("../config/json-schema.ts");
    console.log(JSON.stringify(configJsonSchema(), null, 2));
  },
};
