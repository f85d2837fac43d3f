/** A transformer in the numeric core: shapes, batches and flat float32 vectors on this side, arithmetic on the other. */

import { requireCount } from "../validate.ts";
import { ACT_FNS, ACTIVATIONS, type ActFn } from "./activations.ts";
import { type BackpropagatedVectors, requireVectors } from "./backpropagated-vectors.ts";
import type { CoreExports } from "./exports.ts";
import { instantiateCore } from "./instance.ts";
import { type FactorSums, splitFactors } from "./kronecker.ts";
import type { CoreModule, MathMode } from "./module.ts";
import { sortedBatch } from "./sorted-batch.ts";

/** Shape of a decoder, in TransformerLens' names. */
export interface TransformerShape {
  dVocab: number;
  dModel: number;
  /** Divides dModel; the head dimension dModel / nHeads is even. */
  nHeads: number;
  nLayers: number;
  dMlp: number;
  /** Longest sequence. */
  nCtx: number;
  actFn: ActFn;
  tiedEmbeddings: boolean;
  /** Default 10000. */
  ropeBase?: number;
  /** Period of the token-role embedding (role = time mod roles); 0, the default, for none. */
  roles?: number;
  /**
   * Rate of inverted dropout on what each attention and MLP adds to the residual stream, 0 (default) to below 1; the
   * embedding has none. Only passes that are given a `DropoutKey` drop anything.
   */
  dropout?: number;
}

/** A batch of B sequences of T tokens with P predictions each. */
export interface Batch {
  /** (B, T) row-major, values 0 .. dVocab-1. */
  tokens: Int32Array;
  batchSize: number;
  length: number;
  /** (P) strictly increasing times at which the next token is predicted. */
  positions: Int32Array;
  /** (B, P) what should be predicted there. */
  targets: Int32Array;
}

/** One named parameter tensor; offset and length in float32 elements of the flat vector, row-major. */
export interface ParameterInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly length: number;
}

/**
 * Which dropout masks a pass uses. The mask of one element is a function of this key, its layer, its sequence's place in
 * the batch, its time and its column: the same key gives the same masks, whatever the micro-batches or positions.
 */
export interface DropoutKey {
  /** Whole numbers from 0 to 2^32 - 1. */
  seed: number;
  /** What the masks are for, for instance the ensemble member. */
  stream: number;
  /** Training step, or number of the sample. */
  step: number;
}

export interface AdamWStepOptions {
  /** Step number t, from 1. */
  step: number;
  learningRate: number;
  weightDecay: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Largest global gradient norm; 0 for no clipping. */
  gradientClip?: number;
  weightDecayExclude?: readonly ("layerNorm" | "embeddings")[];
  /** Needed if the model has dropout. */
  dropout?: DropoutKey;
}

/** Which sample of the posterior N(m, 1 / (lambda (h + delta))). */
export interface IvonSampleOptions {
  /** lambda: the number of training terms the posterior is for. */
  effectiveSampleSize: number;
  /** delta: the prior's precision is lambda delta. */
  weightDecay: number;
  /** Root seed, ensemble member, step number from 1 and number of the sample: whole numbers from 0 to 2^32 - 1. */
  seed: number;
  member: number;
  step: number;
  sample: number;
}

export interface IvonStepOptions extends Omit<IvonSampleOptions, "sample"> {
  learningRate: number;
  beta1: number;
  beta2: number;
  /** Samples of the posterior per step; default 1. */
  samples?: number;
  /** Largest change of a parameter in one step, in units of the learning rate; 0, the default, for no clipping. */
  clipRadius?: number;
  /** Needed if the model has dropout. */
  dropout?: DropoutKey;
}

/** What a `Transformer` reserves memory for, besides predictions. */
export interface TransformerOptions {
  /** Gradients and the optimiser's state: 3 more floats a parameter. Default true. */
  training?: boolean;
  /** `ivon` takes 3 more floats a parameter than `adamw`, the default. */
  optimizer?: "adamw" | "ivon";
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

/**
 * Tokens of a micro-batch. Each passes over the packed weights and the gradient once: with fewer tokens that traffic
 * counts, with more the activations leave the caches (docs/performance.md).
 */
const MICRO_BATCH_TOKENS = 384;
const MAX_MEMORY_BYTES = 65536 * 65536;

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

/** Throws a RangeError naming the first field that is not allowed. */
export function validateShape(shape: TransformerShape): void {
  const whole = ["dVocab", "dModel", "nHeads", "nLayers", "dMlp", "nCtx"] as const;
  for (const field of whole) {
    if (!Number.isInteger(shape[field]) || shape[field] < 1)
      throw new RangeError(`${field}: got ${shape[field]}, must be a positive integer`);
  }
  if (shape.dModel % (2 * shape.nHeads) !== 0)
    throw new RangeError(
      `dModel: got ${shape.dModel} with nHeads ${shape.nHeads}, the head dimension dModel / nHeads must be an even integer`,
    );
  if (!ACT_FNS.includes(shape.actFn))
    throw new RangeError(`actFn: got ${String(shape.actFn)}, must be one of ${ACT_FNS.join(", ")}`);
  const { ropeBase = 10000, roles = 0, dropout = 0 } = shape;
  if (!(ropeBase > 1 && Number.isFinite(ropeBase)))
    throw new RangeError(`ropeBase: got ${ropeBase}, must be above 1`);
  if (!Number.isInteger(roles) || roles < 0)
    throw new RangeError(`roles: got ${roles}, must be a non-negative integer`);
  if (!(dropout >= 0 && dropout < 1))
    throw new RangeError(`dropout: got ${dropout}, must be from 0 to below 1`);
}

/** Tokens of a micro-batch of whole sequences, at least one. */
export function microBatchTokens({ nCtx }: TransformerShape): number {
  return Math.max(1, Math.floor(MICRO_BATCH_TOKENS / nCtx)) * nCtx;
}

const SHAPE_DEFAULTS = { ropeBase: 10000, roles: 0, dropout: 0 };
const OPTION_DEFAULTS = { training: true, optimizer: "adamw", curvature: false, kronecker: false } as const;

/** Lay out the core's memory; nothing is reserved yet. Returns bytes; throws a RangeError beyond 4 GiB. */
function plan(
  core: CoreExports,
  shape: Required<TransformerShape>,
  maxTokens: number,
  { training, optimizer, curvature, kronecker }: Required<TransformerOptions>,
): number {
  const { dVocab, dModel, nHeads, nLayers, dMlp, nCtx, actFn, tiedEmbeddings, roles } = shape;
  const bytes = core.plan(
    dVocab,
    dModel,
    nHeads,
    nLayers,
    dMlp,
    nCtx,
    roles,
    ACTIVATIONS[actFn].code,
    tiedEmbeddings,
    maxTokens,
    training,
    training && optimizer === "ivon",
    curvature,
    kronecker,
  );
  if (bytes > MAX_MEMORY_BYTES)
    throw new RangeError(
      `the model needs ${(bytes / 2 ** 30).toFixed(2)} GiB for one member (dModel ${dModel}, nLayers ${nLayers}, dMlp ${dMlp}, nCtx ${nCtx}); WebAssembly memory ends at 4 GiB`,
    );
  return bytes;
}

/**
 * Bytes of memory that a `Transformer` with these options takes, without reserving them.
 *
 * @throws RangeError for an invalid shape, or beyond 4 GiB
 */
export function memoryBytes(
  core: CoreModule,
  shape: TransformerShape,
  options: TransformerOptions = {},
): number {
  validateShape(shape);
  return plan(instantiateCore(core), { ...SHAPE_DEFAULTS, ...shape }, microBatchTokens(shape), {
    ...OPTION_DEFAULTS,
    ...options,
  });
}

export class Transformer {
  readonly shape: Readonly<Required<TransformerShape>>;
  readonly math: MathMode;
  /** Every parameter tensor in flat order; names and shapes as in a PyTorch state dict. */
  readonly parameters: readonly ParameterInfo[];
  readonly parameterCount: number;
  /** Bytes of memory of this instance. */
  readonly memoryBytes: number;
  readonly #core: CoreExports;
  readonly #maxTokens: number;
  readonly #reserved: Readonly<Required<TransformerOptions>>;
  #packed = false;
  /** Whether `parameters` hold a sample and the mean is kept aside. */
  #sampled = false;

  /** As `createTransformer`, for a module compiled already. */
  constructor(core: CoreModule, shape: TransformerShape, options: TransformerOptions = {}) {
    validateShape(shape);
    this.shape = { ...SHAPE_DEFAULTS, ...shape };
    this.math = core.math;
    this.#reserved = { ...OPTION_DEFAULTS, ...options };
    this.#core = instantiateCore(core);
    this.#maxTokens = microBatchTokens(shape);
    const bytes = plan(this.#core, this.shape, this.#maxTokens, this.#reserved);
    if (!this.#core.grow(bytes))
      throw new RangeError(`no memory: ${(bytes / 2 ** 20).toFixed(0)} MiB for the model were refused`);
    this.memoryBytes = bytes;
    this.#core.initialise(this.shape.ropeBase);
    this.parameterCount = this.#core.parameterCount();
    this.parameters = this.#readTensors();
  }

  #readTensors(): ParameterInfo[] {
    const core = this.#core;
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

  #floats(pointer: number, length: number): Float32Array {
    return new Float32Array(this.#core.memory.buffer, pointer, length);
  }

  /** A copy of the flat parameter vector; in `into`, if given. */
  getParameters(into?: Float32Array): Float32Array {
    return this.#copyOut(this.#core.parametersPointer(), into);
  }

  #copyOut(pointer: number, into: Float32Array = new Float32Array(this.parameterCount)): Float32Array {
    this.#checkLength("into", into.length);
    into.set(this.#floats(pointer, this.parameterCount));
    return into;
  }

  /** Throws a RangeError unless `flat` has parameterCount elements. */
  setParameters(flat: Float32Array): void {
    this.#checkLength("parameters", flat.length);
    this.#floats(this.#core.parametersPointer(), this.parameterCount).set(flat);
    this.#packed = false;
    this.#sampled = false;
  }

  /** Copies of AdamW's moments, of IVON's momentum and Hessian estimate h; in `into`, if given. */
  getMoments(into?: { first: Float32Array; second: Float32Array }): {
    first: Float32Array;
    second: Float32Array;
  } {
    this.#requireTraining("getMoments");
    return {
      first: this.#copyOut(this.#core.firstMomentPointer(), into?.first),
      second: this.#copyOut(this.#core.secondMomentPointer(), into?.second),
    };
  }

  setMoments(moments: { first: Float32Array; second: Float32Array }): void {
    this.#requireTraining("setMoments");
    this.#checkLength("first moment", moments.first.length);
    this.#checkLength("second moment", moments.second.length);
    this.#floats(this.#core.firstMomentPointer(), this.parameterCount).set(moments.first);
    this.#floats(this.#core.secondMomentPointer(), this.parameterCount).set(moments.second);
  }

  /** Logits (B, P, V) at the batch's positions; with a `dropout` key, under those masks. */
  logits(batch: Batch, dropout?: DropoutKey): Float32Array {
    return this.#predict(batch, dropout, false);
  }

  /** Predictive probabilities (B, P, V) at the batch's positions; with a `dropout` key, under those masks. */
  probabilities(batch: Batch, dropout?: DropoutKey): Float32Array {
    return this.#predict(batch, dropout, true);
  }

  /**
   * Mean negative log-likelihood in nats over all B x P predictions, and its gradient (flat); with a `dropout` key,
   * under those masks.
   */
  lossAndGradient(batch: Batch, dropout?: DropoutKey): { loss: number; gradient: Float32Array } {
    const loss = this.#accumulateGradient(batch, dropout);
    return { loss, gradient: this.#floats(this.#core.gradientPointer(), this.parameterCount).slice() };
  }

  /**
   * One AdamW step on the batch. Returns the loss before the step and the gradient's norm before clipping. A non-finite
   * loss leaves parameters and moments as they were.
   *
   * @throws Error unless created for training with the optimizer adamw
   */
  trainStep(batch: Batch, options: AdamWStepOptions): { loss: number; gradientNorm: number } {
    this.#requireTraining("trainStep");
    if (this.#reserved.optimizer !== "adamw")
      throw new Error('trainStep is AdamW\'s, this transformer was created with optimizer: "ivon"');
    this.#requireDropout("trainStep", options.dropout);
    const loss = this.#accumulateGradient(batch, options.dropout);
    const gradientNorm = Math.sqrt(this.#core.gradientSquaredNorm());
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) return { loss: Number.NaN, gradientNorm };
    const { gradientClip = 0, weightDecayExclude = [] } = options;
    const scale = gradientClip > 0 ? Math.min(1, gradientClip / (gradientNorm + 1e-6)) : 1;
    const exclude =
      (weightDecayExclude.includes("layerNorm") ? 1 : 0) +
      (weightDecayExclude.includes("embeddings") ? 2 : 0);
    this.#core.adamwStep(
      options.step,
      options.learningRate,
      options.weightDecay,
      options.beta1,
      options.beta2,
      options.epsilon,
      scale,
      exclude,
    );
    this.#packed = false;
    return { loss, gradientNorm };
  }

  /**
   * Move the parameters to a sample of IVON's posterior, whose mean are the parameters and whose h is the second moment.
   * Further samples are of the same posterior; `ivonRestore` or `ivonTrainStep` go back to the mean.
   *
   * @throws Error unless created for training with the optimizer ivon, RangeError for an option that is not allowed
   */
  ivonSample(options: IvonSampleOptions): void {
    const { effectiveSampleSize, weightDecay, seed, member, step, sample } = options;
    this.#checkIvon(options);
    requireWord("sample", sample);
    if (!this.#sampled) this.#core.ivonBegin();
    this.#sampled = true;
    this.#core.ivonSample(effectiveSampleSize, weightDecay, seed, member, step, sample);
    this.#packed = false;
  }

  /** Back from a sample to the mean, if at one. */
  ivonRestore(): void {
    if (!this.#sampled) return;
    this.#core.ivonRestore();
    this.#sampled = false;
    this.#packed = false;
  }

  /**
   * One step of IVON (Shen et al. 2024, arXiv 2402.17641) on the batch; h starts as the second moment that was set. With
   * g the mean gradient over samples theta = m + sigma e, sigma^2 = 1 / (lambda (h + delta)), and hhat that of
   * g (theta - m) / sigma^2:
   * h += (1 - b2)(hhat - h) + ((1 - b2)(hhat - h))^2 / (2 (h + delta)), gbar = b1 gbar + (1 - b1) g,
   * m -= lr (gbar / (1 - b1^t) + delta m) / (h + delta).
   *
   * Returns the loss and the gradient's norm, means over the samples. If one is not finite, nothing changes.
   *
   * @throws Error unless created for training with the optimizer ivon, RangeError for an option that is not allowed
   */
  ivonTrainStep(batch: Batch, options: IvonStepOptions): { loss: number; gradientNorm: number } {
    const { step, learningRate, effectiveSampleSize, weightDecay, beta1, beta2, dropout } = options;
    const { samples = 1, clipRadius = 0 } = options;
    this.#checkIvon(options);
    if (!Number.isInteger(samples) || samples < 1)
      throw new RangeError(`samples: got ${samples}, must be a positive integer`);
    if (!(clipRadius >= 0)) throw new RangeError(`clipRadius: got ${clipRadius}, must be at least 0`);
    this.#requireDropout("ivonTrainStep", dropout);
    this.#checkBatch(batch, true);
    const core = this.#core;
    this.ivonRestore();
    let loss = 0;
    let gradientNorm = 0;
    for (let sample = 0; sample < samples; sample++) {
      this.ivonSample({ ...options, sample });
      loss += this.#accumulateGradient(batch, dropout) / samples;
      gradientNorm += Math.sqrt(core.gradientSquaredNorm()) / samples;
      if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
        this.ivonRestore();
        return { loss: Number.NaN, gradientNorm };
      }
      core.ivonAccumulate(effectiveSampleSize, weightDecay);
    }
    const clip = clipRadius > 0 ? clipRadius : Number.POSITIVE_INFINITY;
    core.ivonStep(step, learningRate, weightDecay, beta1, beta2, samples, clip);
    this.#packed = false;
    this.#sampled = false;
    return { loss, gradientNorm };
  }

  #checkIvon(options: Omit<IvonSampleOptions, "sample">): void {
    const { training, optimizer } = this.#reserved;
    if (!training || optimizer !== "ivon")
      throw new Error('IVON needs a transformer created with training: true, optimizer: "ivon"');
    const { effectiveSampleSize, weightDecay, seed, member, step } = options;
    if (!(effectiveSampleSize > 0 && Number.isFinite(effectiveSampleSize)))
      throw new RangeError(`effectiveSampleSize: got ${effectiveSampleSize}, must be above 0`);
    if (!(weightDecay >= 0 && Number.isFinite(weightDecay)))
      throw new RangeError(`weightDecay: got ${weightDecay}, must be at least 0`);
    requireWord("seed", seed);
    requireWord("member", member);
    requireWord("step", step);
  }

  /**
   * J v, (B, P, V): the derivative of the logits when the parameters move along v (flat).
   *
   * @throws Error without `curvature`, RangeError unless v has parameterCount elements
   */
  jacobianVectorProduct(batch: Batch, v: Float32Array, dropout?: DropoutKey): Float32Array {
    this.#checkBatch(batch, false);
    this.#setDirection(v, false);
    const core = this.#core;
    const { dVocab } = this.shape;
    const rows = { pointer: core.logitsTangentPointer(), stride: core.logitsStride(), width: dVocab };
    return this.#collect(batch, dropout, rows, (sequences) => {
      core.forwardJvp(sequences, batch.length, batch.positions.length);
    });
  }

  /**
   * J^T c, flat: the gradient of sum(c x logits) for a cotangent c (B, P, V).
   *
   * @throws Error without `training` or `curvature`, RangeError unless c has B x P x V elements
   */
  jacobianTransposeProduct(batch: Batch, cotangent: Float32Array, dropout?: DropoutKey): Float32Array {
    this.#checkBatch(batch, false);
    const { dVocab } = this.shape;
    const perSequence = batch.positions.length;
    const size = batch.batchSize * perSequence * dVocab;
    if (cotangent.length !== size)
      throw new RangeError(
        `cotangent: got ${cotangent.length} elements, must be batchSize x positions x dVocab = ${size}`,
      );
    const core = this.#core;
    const stride = core.logitsStride();
    return this.#sumGradients(batch, dropout, (sequences, first) => {
      core.forward(sequences, batch.length, perSequence);
      const rows = sequences * perSequence;
      const logits = this.#floats(core.logitsPointer(), rows * stride);
      const base = first * perSequence * dVocab;
      for (let r = 0; r < rows; r++)
        logits.set(cotangent.subarray(base + r * dVocab, base + (r + 1) * dVocab), r * stride);
      core.backwardLogits();
    });
  }

  /**
   * H v, flat: the exact product with the Hessian of the mean negative log-likelihood (nats) over all B x P predictions,
   * by forward-over-reverse differentiation (Pearlmutter 1994). A `dropout` key fixes masks here and in the other products.
   *
   * @throws Error without `curvature`, RangeError unless v has parameterCount elements
   */
  hessianVectorProduct(batch: Batch, v: Float32Array, dropout?: DropoutKey): Float32Array {
    this.#checkBatch(batch, true);
    this.#setDirection(v, true);
    const weight = 1 / (batch.batchSize * batch.positions.length);
    return this.#sumGradients(this.#ordered(batch, dropout), dropout, (sequences) => {
      this.#core.hessianVector(sequences, batch.length, batch.positions.length, weight);
    });
  }

  /**
   * G v, flat, for the generalised Gauss-Newton matrix G = mean over all B x P predictions of J^T (diag p - p p^T) J
   * (Schraudolph 2002), the Fisher matrix of the model's own predictions p. Targets are not used.
   *
   * @throws Error without `curvature`, RangeError unless v has parameterCount elements
   */
  ggnVectorProduct(batch: Batch, v: Float32Array, dropout?: DropoutKey): Float32Array {
    this.#checkBatch(batch, false);
    this.#setDirection(v, false);
    const weight = 1 / (batch.batchSize * batch.positions.length);
    return this.#sumGradients(this.#ordered(batch, dropout), dropout, (sequences) => {
      this.#core.ggnVector(sequences, batch.length, batch.positions.length, weight);
    });
  }

  /**
   * Diagonal, flat, of the Gauss-Newton matrix summed over all B x P predictions, from squared gradients, which are
   * summed in float64. `exact`: one gradient per prediction and class. Otherwise an unbiased estimate from `probes`
   * gradients of every `chunk` sequences at once: an element has relative variance 2 / (number of gradients) if the
   * chunks contribute alike. Targets are not used, dropout is off.
   *
   * @throws Error without `curvature`, RangeError for a chunk, number of probes, seed or stream that is not allowed
   */
  ggnDiagonal(batch: Batch, vectors: BackpropagatedVectors, chunk = 1): Float64Array {
    this.#requireCurvature();
    this.#checkBatch(batch, false);
    requireVectors(vectors);
    requireCount("chunk", chunk);
    const core = this.#core;
    const { length, positions } = batch;
    this.#pack();
    core.squaresClear();
    const add = (sequences: number, first: number) => {
      core.forward(sequences, length, positions.length);
      core.softmax(sequences * positions.length);
      this.#sendBack(vectors, positions.length, first, core.squaresBackward);
    };
    this.#forEachMicroBatch(batch, undefined, add, vectors === "exact" ? 1 : chunk);
    return new Float64Array(core.memory.buffer, core.squaresPointer(), this.parameterCount).slice();
  }

  /**
   * Kronecker factors of the Gauss-Newton matrix (Martens & Grosse 2015), as sums over all B x P predictions; the rows of
   * a sequence count as independent (Eschenhagen et al. 2023, "expand"). Targets are not used, dropout is off.
   *
   * @throws Error without `kronecker`, RangeError for a number of probes, seed or stream that is not allowed
   */
  kroneckerFactors(batch: Batch, vectors: BackpropagatedVectors): FactorSums[] {
    if (!this.#reserved.kronecker)
      throw new Error("kroneckerFactors needs a transformer created with kronecker: true");
    this.#checkBatch(batch, false);
    const core = this.#core;
    const { length, batchSize, positions } = batch;
    const perSequence = positions.length;
    requireVectors(vectors);
    this.#pack();
    core.kroneckerClear();
    this.#forEachMicroBatch(batch, undefined, (sequences, first) => {
      core.kroneckerForward(sequences, length, perSequence);
      this.#sendBack(vectors, perSequence, first, core.kroneckerBackward);
    });
    const sums = this.#floats(core.factorsPointer(), core.factorsLength()).slice();
    const terms = { tokens: batchSize * length, predictions: batchSize * perSequence };
    return splitFactors(sums, this.parameters, this.shape, terms);
  }

  /** Calls `backward` for each vector of the micro-batch that begins with sequence `first` of the batch. */
  #sendBack(vectors: BackpropagatedVectors, perSequence: number, first: number, backward: () => void): void {
    const core = this.#core;
    if (vectors === "exact") {
      for (let p = 0; p < perSequence; p++)
        for (let c = 0; c < this.shape.dVocab; c++) {
          core.logitRootColumn(p, c);
          backward();
        }
      return;
    }
    const { probes, seed, stream } = vectors;
    for (let probe = 0; probe < probes; probe++) {
      core.logitRootSigns(seed, stream, probe, first * perSequence, 1 / Math.sqrt(probes));
      backward();
    }
  }

  /** Features (B, P, dModel) at the batch's positions: the input of the unembedding, the output of ln_f. */
  features(batch: Batch, dropout?: DropoutKey): Float32Array {
    this.#checkBatch(batch, false);
    const core = this.#core;
    const { dModel } = this.shape;
    const rows = { pointer: core.featuresPointer(), stride: dModel, width: dModel };
    return this.#collect(batch, dropout, rows, (sequences) => {
      core.forward(sequences, batch.length, batch.positions.length);
    });
  }

  /** The gradient left by `run`, which adds that of one micro-batch at a time. */
  #sumGradients(
    batch: Batch,
    dropout: DropoutKey | undefined,
    run: (sequences: number, first: number) => void,
  ): Float32Array {
    this.#accumulate(batch, dropout, run);
    return this.#floats(this.#core.gradientPointer(), this.parameterCount).slice();
  }

  #accumulate(
    batch: Batch,
    dropout: DropoutKey | undefined,
    run: (sequences: number, first: number) => void,
  ): void {
    const { training, curvature } = this.#reserved;
    if (!training && !curvature)
      throw new Error("this transformer was created for inference only: training and curvature are false");
    this.#pack();
    this.#core.zeroGradient();
    this.#forEachMicroBatch(batch, dropout, run);
  }

  #accumulateGradient(batch: Batch, dropout: DropoutKey | undefined): number {
    this.#checkBatch(batch, true);
    const count = batch.batchSize * batch.positions.length;
    let loss = 0;
    this.#accumulate(this.#ordered(batch, dropout), dropout, (sequences) => {
      loss += this.#core.forwardBackward(sequences, batch.length, batch.positions.length, 1 / count);
    });
    return loss / count;
  }

  /** In an order that lets the core share prefixes; dropout tells them apart, and its masks go with the place. */
  #ordered(batch: Batch, dropout: DropoutKey | undefined): Batch {
    return dropout && this.shape.dropout > 0 ? batch : sortedBatch(batch);
  }

  #requireCurvature(): void {
    if (!this.#reserved.curvature)
      throw new Error("second-order products need a transformer created with curvature: true");
  }

  #setDirection(v: Float32Array, backward: boolean): void {
    this.#requireCurvature();
    this.#checkLength("v", v.length);
    this.#floats(this.#core.directionPointer(), this.parameterCount).set(v);
    this.#core.packDirection(backward);
  }

  #predict(batch: Batch, dropout: DropoutKey | undefined, softmax: boolean): Float32Array {
    this.#checkBatch(batch, false);
    const core = this.#core;
    const perSequence = batch.positions.length;
    const rows = { pointer: core.logitsPointer(), stride: core.logitsStride(), width: this.shape.dVocab };
    return this.#collect(batch, dropout, rows, (sequences) => {
      core.forward(sequences, batch.length, perSequence);
      if (softmax) core.softmax(sequences * perSequence);
    });
  }

  /** (B, P, width): the first `width` of the `stride` floats in each of the rows that `run` leaves at `pointer`. */
  #collect(
    batch: Batch,
    dropout: DropoutKey | undefined,
    { pointer, stride, width }: { pointer: number; stride: number; width: number },
    run: (sequences: number) => void,
  ): Float32Array {
    this.#pack();
    const perSequence = batch.positions.length;
    const out = new Float32Array(batch.batchSize * perSequence * width);
    this.#forEachMicroBatch(batch, dropout, (sequences, first) => {
      run(sequences);
      const rows = sequences * perSequence;
      const source = this.#floats(pointer, rows * stride);
      const base = first * perSequence * width;
      for (let r = 0; r < rows; r++)
        out.set(source.subarray(r * stride, r * stride + width), base + r * width);
    });
    return out;
  }

  /** Copy sequences [first, first + sequences) into the core, up to `limit` or as many as fit, and call `run`. */
  #forEachMicroBatch(
    batch: Batch,
    dropout: DropoutKey | undefined,
    run: (sequences: number, first: number) => void,
    limit = Number.POSITIVE_INFINITY,
  ): void {
    const core = this.#core;
    this.#selectDropout(dropout);
    const { length, batchSize, tokens, targets, positions } = batch;
    const perSequence = positions.length;
    const fit = Math.floor(this.#maxTokens / length);
    const most = Math.min(limit, fit >= 4 ? fit - (fit % 4) : fit);
    const buffer = core.memory.buffer;
    new Int32Array(buffer, core.positionsPointer(), perSequence).set(positions);
    for (let first = 0; first < batchSize; first += most) {
      const sequences = Math.min(most, batchSize - first);
      const end = first + sequences;
      new Int32Array(buffer, core.tokensPointer(), sequences * length).set(
        tokens.subarray(first * length, end * length),
      );
      new Int32Array(buffer, core.targetsPointer(), sequences * perSequence).set(
        targets.subarray(first * perSequence, end * perSequence),
      );
      core.setFirstSequence(first);
      run(sequences, first);
    }
  }

  #selectDropout(key: DropoutKey | undefined): void {
    if (!key) {
      this.#core.selectDropout(0, 0, 0, 0);
      return;
    }
    for (const field of ["seed", "stream", "step"] as const) requireWord(`dropout.${field}`, key[field]);
    this.#core.selectDropout(this.shape.dropout, key.seed, key.stream, key.step);
  }

  #requireTraining(method: string): void {
    if (!this.#reserved.training)
      throw new Error(`${method} needs the optimiser's state: a transformer created with training: true`);
  }

  #requireDropout(method: string, key: DropoutKey | undefined): void {
    if (this.shape.dropout > 0 && !key)
      throw new TypeError(
        `dropout: got none, ${method} of a model with dropout ${this.shape.dropout} needs a key`,
      );
  }

  #pack(): void {
    const { training, curvature, kronecker } = this.#reserved;
    if (!this.#packed) this.#core.packWeights(training || curvature || kronecker);
    this.#packed = true;
  }

  #checkLength(what: string, length: number): void {
    if (length !== this.parameterCount)
      throw new RangeError(`${what}: got ${length} elements, this model has ${this.parameterCount}`);
  }

  #checkBatch(batch: Batch, needTargets: boolean): void {
    const { tokens, batchSize, length, positions, targets } = batch;
    const { nCtx, dVocab } = this.shape;
    if (!Number.isInteger(batchSize) || batchSize < 1)
      throw new RangeError(`batchSize: got ${batchSize}, must be a positive integer`);
    if (!Number.isInteger(length) || length < 1 || length > nCtx)
      throw new RangeError(`length: got ${length}, must be 1 to nCtx = ${nCtx}`);
    if (tokens.length !== batchSize * length)
      throw new RangeError(
        `tokens: got ${tokens.length} elements, must be batchSize x length = ${batchSize * length}`,
      );
    if (positions.length < 1) throw new RangeError("positions: got none, at least one is needed");
    for (let p = 0; p < positions.length; p++) {
      if (positions[p] < 0 || positions[p] >= length || (p > 0 && positions[p] <= positions[p - 1]))
        throw new RangeError(
          `positions[${p}]: got ${positions[p]}, must be strictly increasing within 0 .. ${length - 1}`,
        );
    }
    for (let i = 0; i < tokens.length; i++)
      if (tokens[i] < 0 || tokens[i] >= dVocab)
        throw new RangeError(`tokens[${i}]: got ${tokens[i]}, must be 0 .. ${dVocab - 1}`);
    if (!needTargets) return;
    if (targets.length !== batchSize * positions.length)
      throw new RangeError(
        `targets: got ${targets.length} elements, must be batchSize x positions = ${batchSize * positions.length}`,
      );
    for (let i = 0; i < targets.length; i++)
      if (targets[i] < 0 || targets[i] >= dVocab)
        throw new RangeError(`targets[${i}]: got ${targets[i]}, must be 0 .. ${dVocab - 1}`);
  }
}

function requireWord(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff)
    throw new RangeError(`${name}: got ${value}, must be a whole number from 0 to 2^32 - 1`);
}
