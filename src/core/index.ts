export { type CoreModule, loadCoreModule, type MathMode, supportedMath } from "./build.ts";
export { createTransformer } from "./create.ts";
export type { FactorSums, KroneckerSums, SquareSums } from "./kronecker.ts";
export type { OutputSignals } from "./output-signals.ts";
export {
  type AdamWOptions,
  type Batch,
  type DropoutKey,
  type IvonOptions,
  type IvonSampleOptions,
  memoryBytes,
  type ParameterInfo,
  Transformer,
  type TransformerOptions,
  type TransformerShape,
  validateShape,
} from "./transformer.ts";
