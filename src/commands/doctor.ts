/** `epigrok doctor`: whether this machine can run everything. */
import type { Argv, CommandModule } from "yargs";

interface DoctorArguments {
  json: boolean;
}

export const doctorCommand: CommandModule<object, DoctorArguments> = {
  command: "doctor",
  describe: "check this machine and installation",
  builder: (yargs: Argv) =>
    yargs.option("json", {
      type: "boolean",
      default: false,
      describe: "print the checks as a JSON list",
    }) as unknown as Argv<DoctorArguments>,
  handler: async ({ json }) => {
    const { examine } = await import("./doctor-checks.ts");
    const checks = await examine();
    if (json) console.log(JSON.stringify(checks));
    else
      for (const { name, ok, detail } of checks)
        console.log(`${ok ? "ok    " : "WRONG "} ${name}: ${detail}`);
    if (checks.some((check) => !check.ok)) process.exitCode = 1;
  },
};
