/** A transformer in the numeric core: shapes, batches and flat float32 vectors on this side, arithmetic on the other. */

import { requireOneOf } from "../validate.ts";
import { type AdamWTraining, adamw } from "./adamw.ts";
import { type Batch, requireInputs } from "./batch.ts";
import { type CurvatureProducts, curvature } from "./curvature.ts";
import type { DropoutKey } from "./dropout.ts";
import { type Gradients, gradients } from "./gradient.ts";
import { type IvonTraining, ivon } from "./ivon.ts";
import { type KroneckerFactors, kronecker } from "./kronecker.ts";
import { hasBackward, type ParameterInfo, type TransformerOptions } from "./layout.ts";
import { ModelMemory } from "./memory.ts";
import type { CoreModule, MathMode } from "./module.ts";
import { optimizerState } from "./optimizer.ts";
import type { FullShape, TransformerShape } from "./shape.ts";

/** What every transformer has: parameters and predictions. */
export interface Transformer {
  readonly shape: FullShape;
  readonly math: MathMode;
  /** Every parameter tensor in flat order; names and shapes as in a PyTorch state dict. */
  readonly parameters: readonly ParameterInfo[];
  readonly parameterCount: number;
  /** Bytes of memory of this transformer. */
  readonly memoryBytes: number;

  /** A copy of the flat parameter vector; in `into`, if given. */
  getParameters(into?: Float32Array): Float32Array;
  /** @throws RangeError unless `flat` has parameterCount elements */
  setParameters(flat: Float32Array): void;

  /**
   * Logits (B, P, V) at the batch's positions; with a `dropout` key, under those masks. Targets are not used, here and
   * in the other predictions.
   *
   * @throws RangeError for a batch that does not fit the shape
   */
  logits(batch: Batch, dropout?: DropoutKey): Float32Array;
  /** Predictive probabilities (B, P, V), the softmax of the logits. */
  probabilities(batch: Batch, dropout?: DropoutKey): Float32Array;
  /** Features (B, P, dModel): the input of the unembedding, the output of ln_f. */
  features(batch: Batch, dropout?: DropoutKey): Float32Array;
}

type Training<Optimizer> = Optimizer extends "ivon"
  ? IvonTraining
  : Optimizer extends "none"
    ? unknown
    : AdamWTraining;
type If<Option, Methods> = Option extends true ? Methods : unknown;

/**
 * A transformer with the methods that its options reserve memory for. An option that is known at run time only gives
 * what all its values have in common.
 */
export type TransformerWith<Options extends TransformerOptions> = Transformer &
  Training<Options["optimizer"]> &
  If<Options["gradients"], Gradients> &
  If<Options["curvature"], CurvatureProducts> &
  If<Options["kronecker"], KroneckerFactors>;

/**
 * As `createTransformer`, for a module compiled already.
 *
 * @throws RangeError for an invalid shape or an unknown optimizer, or if there is not as much memory
 */
export function instantiateTransformer<const Options extends TransformerOptions = Record<never, never>>(
  core: CoreModule,
  shape: TransformerShape,
  options: Options = {} as Options,
): TransformerWith<Options> {
  const { optimizer = "adamw" } = options;
  requireOneOf("optimizer", optimizer, ["adamw", "ivon", "none"]);
  const memory = new ModelMemory(core, shape, options);
  return {
    ...predictions(memory),
    ...(hasBackward(options) && gradients(memory)),
    ...(optimizer !== "none" && optimizerState(memory)),
    ...(optimizer === "adamw" && adamw(memory)),
    ...(optimizer === "ivon" && ivon(memory)),
    ...(options.curvature && curvature(memory)),
    ...(options.kronecker && kronecker(memory)),
  } as TransformerWith<Options>;
}

function predictions(memory: ModelMemory): Transformer {
  const { core, shape, math, parameters, parameterCount, bytes } = memory;

  function predict(batch: Batch, dropout: DropoutKey | undefined, softmax: boolean): Float32Array {
    requireInputs(batch, shape);
    const perSequence = batch.positions.length;
    const rows = { pointer: core.logitsPointer(), stride: core.logitsStride(), width: shape.dVocab };
    return memory.collectRows(batch, dropout, rows, (sequences) => {
      core.forward(sequences, batch.length, perSequence);
      if (softmax) core.softmax(sequences * perSequence);
    });
  }

  return {
    ...{ shape, math, parameters, parameterCount, memoryBytes: bytes },
    getParameters: (into) => memory.read(core.parametersPointer(), into),
    setParameters(flat) {
      memory.requireFlat("parameters", flat);
      memory.setParameters(flat);
    },
    logits: (batch, dropout) => predict(batch, dropout, false),
    probabilities: (batch, dropout) => predict(batch, dropout, true),
    features(batch, dropout) {
      requireInputs(batch, shape);
      const rows = { pointer: core.featuresPointer(), stride: shape.dModel, width: shape.dModel };
      return memory.collectRows(batch, dropout, rows, (sequences) => {
        core.forward(sequences, batch.length, batch.positions.length);
      });
    },
  };
}
