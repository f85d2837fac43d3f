/** The section `task` of a configuration. */
import * as z from "zod";
import { DEFAULT_FAMILY, FAMILIES, FAMILY_NAMES } from "./families/index.ts";

const count = z.number().int().positive();
const fraction = z.number().min(0).max(1);

/** A pool is kept in memory, and what it leaves is counted one by one. */
const MAX_POOL = 2 ** 20;

const families = FAMILY_NAMES.map((name) => `${name}: ${FAMILIES[name].description}`).join("; ");

export const taskSchema = z
  .strictObject({
    family: z
      .enum(FAMILY_NAMES)
      .optional()
      .describe(`what a task computes from its inputs, modulo p; ${DEFAULT_FAMILY} unless set. ${families}`),
    modulus: count.min(3).default(29).describe("prime p: residues 0..p-1 are the tokens"),
    variables: count.max(4).default(1).describe("v, number of inputs x1..xv of the hidden function"),
    constantTerm: z.boolean().default(false).describe("add a hidden constant to z"),
    zeroTask: z
      .boolean()
      .default(false)
      .describe(
        "whether the family contains the zero task, z = 0 whatever the inputs, which no other task helps to predict",
      ),
    trainTasks: count.default(23).describe("D, number of tasks seen in training; the rest are held out"),
    taskSplit: z
      .enum(["uniform", "rectangular"])
      .default("uniform")
      .describe(
        "how the D tasks are chosen: uniformly, or as disjoint rectangles of the grid of tasks (two coefficients, zero task included, D a multiple of 4)",
      ),
    inputFraction: fraction
      .gt(0)
      .default(1)
      .describe("fraction of the p^v inputs seen in training; below 1 two more probe sets exist"),
    examples: count.default(2).describe("n, examples (x1..xv z) in one prompt"),
    distinctInputs: z.boolean().default(true).describe("inputs within one prompt without replacement"),
    trainNoise: fraction.default(0).describe("probability that a context z is replaced, in training"),
    probeNoise: fraction.default(0).describe("probability that a context z is replaced, in the probe sets"),
    noisyTargets: z.boolean().default(false).describe("whether the training targets carry the noise too"),
    batching: z
      .enum(["independent", "balanced"])
      .optional()
      .describe(
        "independent unless set: every prompt draws its task and inputs; balanced (arXiv 2406.02550): every batch holds every training task equally often, all with the same input sequences",
      ),
    promptPool: z
      .number()
      .int()
      .nonnegative()
      .max(MAX_POOL)
      .default(5500)
      .describe(
        "N, number of different prompts, noise included, that are drawn once for all members and trained on again and again, in a new order each epoch (each member on a part of them with ensemble.bootstrap); 0: fresh prompts each step. A pool has a probe set of its own, trainPrompts",
      ),
  })
  // What a task does not use is left out, so that configurations from before there was such a setting keep their hashes.
  .overwrite(({ family = DEFAULT_FAMILY, batching = "independent", ...task }) => ({
    ...(family === DEFAULT_FAMILY ? {} : { family }),
    ...task,
    ...(batching === "independent" ? {} : { batching }),
  }))
  .describe("the family of in-context tasks of modular arithmetic");

export type TaskConfig = z.infer<typeof taskSchema>;
