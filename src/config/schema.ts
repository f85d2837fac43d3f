/**
 * The configuration: one schema that gives the types, the defaults, the validation and the help texts.
 * YAML files, `--set a.b=v` and the library use exactly these keys.
 */
import * as z from "zod";
import { ACT_FNS, ACTIVATIONS } from "../core/activations.ts";
import { promptLength } from "../tasks/batch.ts";
import { BOOTSTRAPS } from "../tasks/bootstrap.ts";
import { taskSchema } from "../tasks/settings.ts";
import { splitContradictions } from "../tasks/split.ts";
import { type Contradiction, FLOAT32 } from "../validate.ts";
import { IVON_CLIP_RADIUS } from "./defaults.ts";

/** As far as the random streams count. */
const count = z.number().int().positive().max(0xffffffff);
const fraction = z.number().min(0).max(1);

const float32 = (range: z.ZodNumber) => range.refine(FLOAT32.holds, { error: `must be ${FLOAT32.allowed}` });
const positive = float32(z.number().positive());
const rate = float32(z.number().nonnegative());
/** Of a mean, or of dropout. */
const decay = float32(z.number().min(0).lt(1)).refine((x) => x >= 1 || FLOAT32.holdsRate(x), {
  error: `must be ${FLOAT32.allowedRate}`,
});

const modelSchema = z
  .strictObject({
    dModel: count.default(64).describe("width d of the residual stream; a multiple of nHeads"),
    nHeads: count.default(4).describe("attention heads; the head dimension d/nHeads must be even"),
    nLayers: count.default(2).describe("transformer blocks"),
    dMlp: count.default(256).describe("width of the MLP"),
    actFn: z
      .enum(ACT_FNS)
      .default("relu")
      .describe(`activation of the MLP: ${ACT_FNS.map((f) => `${f} ${ACTIVATIONS[f].formula}`).join(", ")}`),
    tiedEmbeddings: z.boolean().default(false).describe("use the token embedding as unembedding"),
    ropeBase: z.number().gt(1).default(30).describe("base of the rotary position frequencies"),
    roleEmbedding: z
      .boolean()
      .default(false)
      .describe("add a learned embedding of the token's role (x1..xv, z)"),
    dropout: decay
      .default(0)
      .describe("rate of dropout, in training, on what each attention and MLP adds to the residual stream"),
    initScheme: z
      .enum(["normal", "fanIn"])
      .default("normal")
      .describe(
        "normal: every matrix N(0, initStd^2); fanIn: embeddings N(0, initStd^2), other matrices N(0, 1/fan_in), those that write to the residual stream divided by sqrt(2 nLayers)",
      ),
    initStd: positive.default(0.07).describe("standard deviation at initialisation, see initScheme"),
    initFrom: z
      .string()
      .min(1)
      .optional()
      .describe(
        "checkpoints whose parameters the members begin with, in place of random ones: a file for all of them, or the folder of a step, or a run (its newest step), whose member k is for member k. The run keeps copies",
      ),
  })
  .describe("the decoder-only transformer");

const ivonSchema = z
  .strictObject({
    effectiveSampleSize: z
      .union([positive, z.literal("termsSeen")], {
        error: "must be a number above 0 or termsSeen",
      })
      .default("termsSeen")
      .describe(
        "lambda, the number of likelihood terms the posterior is for, its variances being 1 / (lambda (h + delta)); termsSeen: the predictions trained on in the whole run, steps x batchSize x positions in the loss, and those of a task.promptPool once, however many epochs there are: prompts of the pool x positions",
      ),
    hessianInit: positive
      .default(1e-3)
      .describe(
        "h at the start, of every parameter: the first posterior's precision is lambda (h + delta), the first steps are the gradient over h + delta",
      ),
    beta2: decay
      .default(0.999)
      .describe(
        "decay of the estimate h of the Hessian's diagonal; 1 / (1 - beta2) steps, its memory, should be a small part of the run",
      ),
    samples: count.default(1).describe("weight samples per step; each costs a whole gradient"),
    clipRadius: rate
      .default(IVON_CLIP_RADIUS)
      .describe(
        "largest change of a parameter in one step, in units of the learning rate: where h is small an unclipped step can be huge; 0: no clipping",
      ),
  })
  .describe(
    "IVON, variational online Newton (arXiv 2402.17641), with optimizer ivon only: each member is a Gaussian posterior over its weights",
  );

const trainingSchema = z
  .strictObject({
    steps: count.default(6000).describe("optimiser steps"),
    batchSize: count.default(512).describe("prompts per step"),
    optimizer: z
      .enum(["adamw", "ivon"])
      .default("adamw")
      .describe("adamw: one weight vector per member; ivon: a Gaussian posterior per member, see ivon"),
    learningRate: rate
      .default(1.5e-3)
      .describe(
        "peak learning rate; ivon, which divides by h and not by a root, takes a larger one, about 0.1",
      ),
    warmupSteps: z.number().int().nonnegative().default(100).describe("linear warm-up from 0"),
    schedule: z
      .enum(["constant", "cosine", "linear", "warmup-stable-decay"])
      .default("warmup-stable-decay")
      .describe(
        "what the learning rate does after warm-up; warmup-stable-decay (arXiv 2404.06395): held, then a fall in a line over the last decayFraction of the steps",
      ),
    finalLearningRate: fraction
      .default(0.05)
      .describe("end of every schedule but the constant one, as a fraction of learningRate"),
    weightDecay: rate
      .default(1)
      .describe(
        "adamw: decoupled weight decay (multiplied by the learning rate); ivon: delta, above 0 and far smaller, about 1e-5 to 1e-4: the prior is N(0, 1 / (lambda delta))",
      ),
    weightDecayExclude: z
      .array(z.enum(["layerNorm", "embeddings"]))
      .default([])
      .describe("adamw: parameter groups without weight decay"),
    beta1: decay.default(0.9).describe("decay of the gradient's mean"),
    beta2: decay.default(0.98).describe("adamw: decay of the squared gradient's mean"),
    epsilon: positive.default(1e-8).describe("adamw: added to the root of the squared gradient's mean"),
    gradientClip: rate.default(0).describe("adamw: clip the gradient's global norm to this; 0: no clipping"),
    lossPositions: z
      .enum(["all", "last"])
      .default("last")
      .describe("predict every z of a prompt, or only the last one"),
    decayFraction: fraction
      .gt(0)
      .optional()
      .describe(
        "share of all steps over which the rate falls at the end, with schedule warmup-stable-decay only: 0.25 unless set",
      ),
    ivon: ivonSchema.optional(),
  })
  .describe("optimisation of one member");

const evaluationSchema = z
  .strictObject({
    every: count.default(125).describe("steps between evaluations on the probe sets"),
    spacing: z
      .enum(["linear", "log"])
      .default("linear")
      .describe("linear: every `every` steps; log: denser early, spacing never above `every`"),
    prompts: count.default(256).describe("prompts in each probe set"),
    savePredictions: z
      .enum(["none", "last", "all"])
      .default("last")
      .describe("which positions' predictive probabilities are kept in predictions/"),
    posteriorSamples: z
      .number()
      .int()
      .nonnegative()
      .optional()
      .describe(
        "samples of a member's own posterior, ivon's weights and dropout's masks, whose mean is its predictive: 16 unless set; 0: predict with the mean weights and without dropout",
      ),
  })
  .describe("fixed probe sets {seen, unseen tasks} x {seen, unseen inputs}, and one of the prompt pool");

const ensembleSchema = z
  .strictObject({
    members: count.default(4).describe("K, independently initialised members"),
    bootstrap: z
      .enum(BOOTSTRAPS)
      .optional()
      .describe(
        "none unless set: all members train on the same; prompts: each on a resample with replacement of task.promptPool; tasks: each on a resample with replacement of the training tasks, and of a pool on the prompts of these. Each member is then measured on what it was itself trained on; unseen tasks are unseen by all",
      ),
  })
  // Left out where it changes nothing, for the hashes of configurations from before there was such a setting.
  .overwrite(({ bootstrap = "none", ...ensemble }) => ({
    ...ensemble,
    ...(bootstrap === "none" ? {} : { bootstrap }),
  }))
  .describe("the deep ensemble: members differ in initialisation and data order");

const checkpointsSchema = z
  .strictObject({
    schedule: z
      .enum(["log", "evaluations", "last"])
      .default("log")
      .describe("which evaluations keep a checkpoint: log-spaced ones, all, or only the last"),
    keep: count
      .default(24)
      .describe("at most this many checkpoints with the log schedule, which is thinned to it"),
  })
  .describe("checkpoints kept on disk");

const configSections = z.strictObject({
  seed: z.number().int().nonnegative().max(0xffffffff).default(0).describe("root of every random stream"),
  task: taskSchema.prefault({}),
  model: modelSchema.prefault({}),
  training: trainingSchema.prefault({}),
  evaluation: evaluationSchema.prefault({}),
  ensemble: ensembleSchema.prefault({}),
  checkpoints: checkpointsSchema.prefault({}),
  math: z
    .enum(["fast", "strict"])
    .default("fast")
    .describe("fast: fused multiply-add where available; strict: the same bytes on every machine"),
});

/** What ivon does not use, and what to say to whoever sets it. */
const ADAMW_ONLY = {
  beta2: "see training.ivon.beta2",
  epsilon: "which needs none",
  gradientClip: "see training.ivon.clipRadius",
  weightDecayExclude: "whose prior is the same for every parameter",
} as const;

type Resolved = z.infer<typeof configSections>;

/** Whether a member's predictions have a posterior of its own to sample. */
const hasPosterior = ({ training, model }: Resolved) => training.optimizer === "ivon" || model.dropout > 0;

function contradictions(config: Resolved): Contradiction[] {
  return [
    ...splitContradictions(config.task, config.seed),
    ...modelContradictions(config),
    ...scheduleContradictions(config),
    ...evaluationContradictions(config),
    ...batchContradictions(config),
    ...posteriorContradictions(config),
    ...bootstrapContradictions(config),
  ];
}

function bootstrapContradictions({ ensemble, task }: Resolved): Contradiction[] {
  if (ensemble.bootstrap !== "prompts" || task.promptPool > 0) return [];
  return [
    {
      path: "ensemble.bootstrap",
      value: ensemble.bootstrap,
      allowed: "none or tasks without a task.promptPool, of which each member would take its prompts",
      given: ["task.promptPool"],
    },
  ];
}

function modelContradictions({ model: { dModel, nHeads } }: Resolved): Contradiction[] {
  if (dModel % nHeads === 0 && (dModel / nHeads) % 2 === 0) return [];
  return [
    {
      path: "model.dModel",
      value: dModel,
      allowed: "an even multiple of model.nHeads",
      given: ["model.nHeads"],
    },
  ];
}

function batchContradictions({ task, training: { batchSize } }: Resolved): Contradiction[] {
  const { promptPool, batching, trainTasks, variables, examples } = task;
  const found: Contradiction[] = [];
  const length = promptLength(variables, examples);
  const most = Math.floor(MOST_TOKENS / length);
  if (batchSize > most)
    found.push({
      path: "training.batchSize",
      value: batchSize,
      allowed: `at most ${most}, of ${length} tokens each`,
      given: ["task.variables", "task.examples"],
    });
  if (promptPool > 0 && promptPool < batchSize)
    found.push({
      path: "task.promptPool",
      value: promptPool,
      allowed: "0 or at least training.batchSize: a batch would hold prompts twice",
      given: ["training.batchSize"],
    });
  if (batching === "balanced" && batchSize % trainTasks !== 0)
    found.push({
      path: "training.batchSize",
      value: batchSize,
      allowed: "a multiple of task.trainTasks with task.batching balanced",
      given: ["task.trainTasks", "task.batching"],
    });
  return found;
}

/** More would not fit into the memory of whoever reads them. */
const MOST_EVALUATIONS = 100_000;
/** In a probe set or a batch, for the same reason. */
const MOST_TOKENS = 2 ** 26;

function evaluationContradictions({ task, training: { steps }, evaluation }: Resolved): Contradiction[] {
  const { every, prompts } = evaluation;
  const found: Contradiction[] = [];
  const report = (path: string, value: number, allowed: string, given: string[]) =>
    found.push({ path, value, allowed, given });
  const fewest = Math.ceil(steps / MOST_EVALUATIONS);
  if (every < fewest)
    report("evaluation.every", every, `at least ${fewest}, for ${MOST_EVALUATIONS} evaluations at most`, [
      "training.steps",
    ]);
  const length = promptLength(task.variables, task.examples);
  const most = Math.floor(MOST_TOKENS / length);
  if (prompts > most)
    report("evaluation.prompts", prompts, `at most ${most}, of ${length} tokens each`, [
      "task.variables",
      "task.examples",
    ]);
  return found;
}

function scheduleContradictions({ training: { schedule, decayFraction } }: Resolved): Contradiction[] {
  if (schedule === "warmup-stable-decay" || decayFraction === undefined) return [];
  return [
    {
      path: "training.decayFraction",
      value: decayFraction,
      allowed: "absent unless training.schedule is warmup-stable-decay",
      given: ["training.schedule"],
    },
  ];
}

function posteriorContradictions(config: Resolved): Contradiction[] {
  const { training, evaluation } = config;
  const found: Contradiction[] = [];
  const report = (path: string, value: unknown, allowed: string, given: string[]) =>
    found.push({ path, value, allowed, given });
  const optimizer = ["training.optimizer"];
  if (training.optimizer === "ivon") {
    const { shape } = trainingSchema;
    for (const [key, instead] of Object.entries(ADAMW_ONLY) as [keyof typeof ADAMW_ONLY, string][]) {
      const neutral = JSON.stringify(shape[key].parse(undefined));
      if (JSON.stringify(training[key]) !== neutral)
        report(
          `training.${key}`,
          training[key],
          `left at ${neutral} with optimizer ivon, ${instead}`,
          optimizer,
        );
    }
    if (training.weightDecay === 0)
      report(
        "training.weightDecay",
        0,
        "above 0 with optimizer ivon: it is the precision of the prior",
        optimizer,
      );
  } else if (training.ivon)
    report("training.ivon", training.ivon, "absent unless training.optimizer is ivon", optimizer);
  if (evaluation.posteriorSamples !== undefined && !hasPosterior(config))
    report(
      "evaluation.posteriorSamples",
      evaluation.posteriorSamples,
      "absent without optimizer ivon or model.dropout above 0",
      [...optimizer, "model.dropout"],
    );
  return found;
}

/**
 * Settings of a method are in a configuration exactly if it uses the method, so that a new method leaves the hashes of
 * all other configurations alone.
 */
export const configSchema = configSections
  .superRefine((config, context) => {
    // Contradictions are between settings that are each within their ranges.
    if (context.issues.length > 0) return;
    for (const { path, value, allowed, given } of contradictions(config))
      context.addIssue({
        code: "custom",
        path: path.split("."),
        message: `must be ${allowed}`,
        input: value,
        params: { given },
      });
  })
  .overwrite((config) => {
    const { training } = config;
    if (training.schedule !== "warmup-stable-decay") return config;
    // Always the last key but ivon: the hash of a configuration depends on the order.
    const { decayFraction = 0.25, ivon, ...others } = training;
    return { ...config, training: { ...others, decayFraction, ...(ivon && { ivon }) } };
  })
  .overwrite((config) => {
    const { training, evaluation } = config;
    if (!hasPosterior(config)) return config;
    return {
      ...config,
      training:
        training.optimizer === "ivon"
          ? { ...training, ivon: training.ivon ?? ivonSchema.parse({}) }
          : training,
      evaluation: { ...evaluation, posteriorSamples: evaluation.posteriorSamples ?? 16 },
    };
  });

/** A complete, validated configuration. */
export type Config = z.infer<typeof configSchema>;
/** `ivon` is there exactly if the optimizer is ivon, `decayFraction` exactly with the schedule that has one. */
export type TrainingConfig = Config["training"];
export type IvonConfig = z.infer<typeof ivonSchema>;
/** What a user may write: every key optional. */
export type ConfigInput = z.input<typeof configSchema>;
