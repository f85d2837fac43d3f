import { expect, it } from "vitest";
import { PromptSampler } from "../src/tasks/prompts.ts";
import { termsPerStep } from "../src/training/loss-terms.ts";
import { freshConfig } from "./fixtures/config.ts";

it.each(["all", "last"] as const)(
  "counts as many terms as batches have targets, lossPositions %s",
  (lossPositions) => {
    const config = freshConfig({ task: { examples: 5 }, training: { batchSize: 8, lossPositions } });
    const sampler = new PromptSampler(config);
    expect(termsPerStep(config)).toBe(sampler.createBatch(8, lossPositions).targets.length);
  },
);
