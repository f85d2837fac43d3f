export type { ActFn } from "./activations.ts";
export type { AdamWStepOptions, AdamWTraining } from "./adamw.ts";
export type { BackpropagatedVectors } from "./backpropagated-vectors.ts";
export type { Batch } from "./batch.ts";
export { loadCoreModule, supportedMath } from "./build.ts";
export { createTransformer } from "./create.ts";
export type { CurvatureProducts } from "./curvature.ts";
export type { DropoutKey } from "./dropout.ts";
export type { Gradients } from "./gradient.ts";
export type { IvonSampleOptions, IvonStepOptions, IvonTraining } from "./ivon.ts";
export type { FactorSums, KroneckerFactors, KroneckerSums, SquareSums } from "./kronecker.ts";
export { memoryBytes, type ParameterInfo, type TransformerOptions } from "./layout.ts";
export type { CoreModule, MathMode } from "./module.ts";
export type { Moments, StepResult, Trainable } from "./optimizer.ts";
export type { TransformerShape } from "./shape.ts";
export {
  type AdamWTransformer,
  type CurvatureTransformer,
  type IvonTransformer,
  instantiateTransformer,
  type Transformer,
  type TransformerWith,
} from "./transformer.ts";
