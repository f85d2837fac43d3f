export type { ActFn } from "./activations.ts";
export type { BackpropagatedVectors } from "./backpropagated-vectors.ts";
export { loadCoreModule, supportedMath } from "./build.ts";
export { createTransformer } from "./create.ts";
export type { FactorSums, KroneckerSums, SquareSums } from "./kronecker.ts";
export type { CoreModule, MathMode } from "./module.ts";
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
