/**
 * epigrok: ensembles of small transformers on in-context modular arithmetic, their epistemic uncertainty through
 * training, and grokking told without labels.
 */
export { type Config, type ConfigInput, configSchema } from "./config.ts";
export {
  type AdamWOptions,
  type Batch,
  createTransformer,
  type MathMode,
  type ParameterInfo,
  supportedMath,
  Transformer,
  type TransformerShape,
} from "./core/index.ts";
export * as theory from "./theory/index.ts";
