/** What programs outside use of the core. */
export type { AdamWTraining } from "./adamw.ts";
export type { Batch } from "./batch.ts";
export { createTransformer } from "./create.ts";
export type { CurvatureProducts } from "./curvature.ts";
export type { IvonTraining } from "./ivon.ts";
export type { KroneckerFactors } from "./kronecker.ts";
export type { TransformerOptions } from "./layout.ts";
export type { MathMode } from "./module.ts";
export type { TransformerShape } from "./shape.ts";
export { enableWideSimd } from "./simd.ts";
export type { Transformer, TransformerWith } from "./transformer.ts";
