/**
 * What a model takes of the core's memory. The core lays it out (assembly/layout.ts, the single truth about addresses and
 * the order of parameters); this side writes the description that it reads and names its tensors.
 */
import { ACTIVATIONS } from "./activations.ts";
import type { CoreExports, ModelFields } from "./exports.ts";
import { instantiateCore } from "./instance.ts";
import type { CoreModule } from "./module.ts";
import { type FullShape, resolveShape, type TransformerShape } from "./shape.ts";

/** What memory is reserved for, besides parameters and predictions: each option adds methods (see `TransformerWith`). */
export interface TransformerOptions {
  /**
   * Gradients and the state of an optimiser: 3 more floats a parameter for `adamw`, the default, 6 for `ivon`. `none`
   * does without, and without gradients unless something else needs them.
   */
  optimizer?: "adamw" | "ivon" | "none";
  /** Gradients without an optimiser: 2 floats a parameter. Default false. */
  gradients?: boolean;
  /**
   * Gradients, their squares, and the tangents of Jacobian-, Hessian- and Gauss-Newton-vector products: a second copy of
   * parameters, packed weights and activations. Default false.
   */
  curvature?: boolean;
  /**
   * Gradients and Kronecker factors: two square matrices for each weight matrix, and token rows of the first block.
   * Default false.
   */
  kronecker?: boolean;
}

/** One named parameter tensor; offset and length in float32 elements of the flat vector, row-major. */
export interface ParameterInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly length: number;
}

/**
 * Tokens of a micro-batch. Each passes over the packed weights and the gradient once: with fewer tokens that traffic
 * counts, with more the activations leave the caches (docs/performance.md).
 */
const MICRO_BATCH_TOKENS = 384;
const MAX_MEMORY_BYTES = 65536 * 65536;

/** Tokens of a micro-batch of whole sequences, at least one. */
function microBatchTokens({ nCtx }: FullShape): number {
  return Math.max(1, Math.floor(MICRO_BATCH_TOKENS / nCtx)) * nCtx;
}

/** Whole sequences of `length` tokens in a micro-batch, a multiple of 4 where as many fit. */
export function microBatchSequences(shape: FullShape, length: number): number {
  const fit = Math.floor(microBatchTokens(shape) / length);
  return fit >= 4 ? fit - (fit % 4) : fit;
}

/** Whether there is memory for gradients. */
export function hasBackward(options: TransformerOptions): boolean {
  const { optimizer = "adamw", gradients = false, curvature = false, kronecker = false } = options;
  return optimizer !== "none" || gradients || curvature || kronecker;
}

/**
 * Lays out a model; nothing is reserved yet. Returns the bytes of memory it needs.
 * @throws RangeError beyond 4 GiB
 */
export function planMemory(core: CoreExports, shape: FullShape, options: TransformerOptions): number {
  const { dVocab, dModel, nHeads, nLayers, dMlp, nCtx, roles, actFn, tiedEmbeddings } = shape;
  const { optimizer = "adamw", curvature = false, kronecker = false } = options;
  const fields: Record<keyof ModelFields, number> = {
    ...{ dVocab, dModel, nHeads, nLayers, dMlp, nCtx, roles },
    activation: ACTIVATIONS[actFn].code,
    tiedEmbeddings: Number(tiedEmbeddings),
    microBatchTokens: microBatchTokens(shape),
    gradients: Number(hasBackward(options)),
    moments: Number(optimizer !== "none"),
    ivon: Number(optimizer === "ivon"),
    curvature: Number(curvature),
    kronecker: Number(kronecker),
  };
  for (const [name, value] of Object.entries(fields)) core[name as keyof ModelFields].value = value;
  const bytes = core.plan();
  if (bytes > MAX_MEMORY_BYTES)
    throw new RangeError(
      `the model needs ${(bytes / 2 ** 30).toFixed(2)} GiB for one member (dModel ${dModel}, nLayers ${nLayers}, dMlp ${dMlp}, nCtx ${nCtx}); WebAssembly memory ends at 4 GiB`,
    );
  return bytes;
}

/**
 * Bytes of memory that a transformer with these options takes, without reserving them.
 *
 * @throws RangeError for an invalid shape, or beyond 4 GiB
 */
export function memoryBytes(
  core: CoreModule,
  shape: TransformerShape,
  options: TransformerOptions = {},
): number {
  return planMemory(instantiateCore(core), resolveShape(shape), options);
}

/** By kind of tensor (assembly/layout.ts), the name that a PyTorch state dict has for it in block i. */
const NAMES = [
  () => "transformer.wte.weight",
  () => "transformer.wre.weight",
  (i: number) => `transformer.h.${i}.ln_1.weight`,
  (i: number) => `transformer.h.${i}.ln_1.bias`,
  (i: number) => `transformer.h.${i}.attn.to_qkv.weight`,
  (i: number) => `transformer.h.${i}.attn.o.weight`,
  (i: number) => `transformer.h.${i}.ln_2.weight`,
  (i: number) => `transformer.h.${i}.ln_2.bias`,
  (i: number) => `transformer.h.${i}.mlp.c_fc.weight`,
  (i: number) => `transformer.h.${i}.mlp.c_proj.weight`,
  () => "transformer.ln_f.weight",
  () => "transformer.ln_f.bias",
  () => "lm_head.weight",
];

/** Every parameter tensor of the model that was planned, in flat order. */
export function parameterTable(core: CoreExports): ParameterInfo[] {
  return Array.from({ length: core.tensorCount() }, (_, index) => {
    core.selectTensor(index);
    const columns = core.tensorColumns();
    const shape = columns > 0 ? [core.tensorRows(), columns] : [core.tensorRows()];
    return {
      name: NAMES[core.tensorKind()](core.tensorBlock()),
      shape,
      offset: core.tensorOffset(),
      length: shape.reduce((a, b) => a * b),
    };
  });
}
