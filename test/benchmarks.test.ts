/** What the benchmarks measure is what they say, whatever the defaults of the configuration are. */
import { expect, it } from "vitest";
// @ts-expect-error a program, not part of the package
import { decoder } from "../benchmarks/configs.mjs";
import { termsPerStep } from "../src/training/loss-terms.ts";

it("decoders predict all n outputs of fresh prompts", () => {
  const config = decoder({ d: 128, n: 16, B: 64 });
  expect(termsPerStep(config)).toBe(64 * 16);
  expect(config.task).toMatchObject({ examples: 16, promptPool: 0 });
});
