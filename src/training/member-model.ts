/** The model of a configuration with its optimiser: the one place that tells optimisers apart. */
import type { Config, IvonConfig } from "../config/schema.ts";
import type { Batch } from "../core/batch.ts";
import type { Gradients } from "../core/gradient.ts";
import type { CoreModule } from "../core/module.ts";
import type { StepResult, Trainable } from "../core/optimizer.ts";
import { instantiateTransformer, type Transformer } from "../core/transformer.ts";
import { ivonGaussian } from "./ivon.ts";
import { learningRateAt } from "./learning-rate.ts";
import { transformerShape } from "./model.ts";

export interface MemberModel {
  readonly transformer: Transformer & Trainable;
  /** Step number `step`, from 1, of a member. A loss that is not finite is NaN, and nothing has changed. */
  trainStep(batch: Batch, member: number, step: number): StepResult;
  /** Moves the weights to a sample of the member's posterior over them after `step` steps, if it has one. */
  sampleWeights(member: number, step: number, sample: number): void;
  /** Moves them back from a sample. */
  restoreWeights(): void;
}

export function createMemberModel(config: Config, core: CoreModule): MemberModel {
  const { ivon } = config.training;
  return ivon ? ivonModel(config, ivon, core) : adamwModel(config, core);
}

function adamwModel(config: Config, core: CoreModule): MemberModel {
  const transformer = instantiateTransformer(core, transformerShape(config), { optimizer: "adamw" });
  return {
    transformer,
    trainStep: (batch, member, step) =>
      transformer.trainStep(batch, { ...config.training, ...stepOptions(config, member, step) }),
    sampleWeights() {},
    restoreWeights() {},
  };
}

function ivonModel(config: Config, ivon: IvonConfig, core: CoreModule): MemberModel {
  const transformer = instantiateTransformer(core, transformerShape(config), { optimizer: "ivon" });
  const { beta1 } = config.training;
  const { beta2, samples, clipRadius } = ivon;
  return {
    transformer,
    trainStep: (batch, member, step) =>
      transformer.ivonTrainStep(batch, {
        ...ivonGaussian(config, ivon, member),
        ...stepOptions(config, member, step),
        ...{ beta1, beta2, samples, clipRadius },
      }),
    sampleWeights(member, step, sample) {
      transformer.ivonSample({ ...ivonGaussian(config, ivon, member), step, sample });
    },
    restoreWeights: transformer.ivonRestore,
  };
}

let latestAssistant: { key: string; model: Gradients } | undefined;

/** A model that helps those of the configuration with their gradients; made once per configuration. */
export function assistant(config: Config, core: CoreModule): Gradients {
  const shape = transformerShape(config);
  const key = `${core.math} ${core.simd} ${JSON.stringify(shape)}`;
  if (latestAssistant?.key !== key) {
    const model = instantiateTransformer(core, shape, { optimizer: "none", gradients: true });
    latestAssistant = { key, model };
  }
  return latestAssistant.model;
}

function stepOptions({ training, seed }: Config, member: number, step: number) {
  return { step, learningRate: learningRateAt(step, training), dropout: { seed, stream: member, step } };
}
