/** Programs beside the package: what they import is there, and what they measure is what they say. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
// @ts-expect-error a program, not part of the package
import { decoder } from "../benchmarks/configs.mjs";
import { termsPerStep } from "../src/training/loss-terms.ts";

it("decoders predict all n outputs of fresh prompts", () => {
  const config = decoder({ d: 128, n: 16, B: 64 });
  expect(termsPerStep(config)).toBe(64 * 16);
  expect(config.task).toMatchObject({ examples: 16, promptPool: 0 });
});

it("programs import what the package has", async () => {
  const folders = ["benchmarks", "examples", "experiments", "scripts"];
  const programs = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".mjs") && !name.includes("node_modules"))
      .map((name) => join(folder, name)),
  );
  expect(programs.length).toBeGreaterThan(20);
  for (const program of programs) {
    const imports = readFileSync(program, "utf8").matchAll(
      /^import \{([^}]*)\} from "(\.[^"]*\/dist\/[^"]*)"/gm,
    );
    for (const [, names, file] of imports) {
      const module = await import(pathToFileURL(join(dirname(program), file)).href);
      const missing = names.split(",").filter((name) => {
        const [exported] = name.trim().split(" as ");
        return exported !== "" && !(exported in module);
      });
      expect(missing, `${program}: ${file}`).toEqual([]);
    }
  }
});
