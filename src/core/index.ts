export type { ActFn } from "./activations.ts";
export type { BackpropagatedVectors } from "./backpropagated-vectors.ts";
export { type CoreModule, loadCoreModule, type MathMode, supportedMath } from "./build.ts";
export { createTransformer } from "./create.ts";
export type { FactorSums, KroneckerSums, SquareSums } from "./kronecker.ts";
export {
  type AdamWStepOptions,
  type Batch,
  type DropoutKey,
  type IvonSampleOptions,
  type IvonStepOptions,
  memoryBytes,
  type ParameterInfo,
  Transformer,
  type TransformerOptions,
  type TransformerShape,
  validateShape,
} from "./transformer.ts";
