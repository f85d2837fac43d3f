/** One model in the core's memory: views of it, and passes over a batch, one micro-batch at a time. */
import { requireLength, requireTypedArray } from "../validate.ts";
import { type Batch, type Sharding, sortedBatch } from "./batch.ts";
import { type DropoutKey, requireDropoutKey } from "./dropout.ts";
import type { CoreExports } from "./exports.ts";
import { instantiateCore } from "./instance.ts";
import {
  hasBackward,
  microBatchSequences,
  type ParameterInfo,
  parameterTable,
  planMemory,
  type TransformerOptions,
} from "./layout.ts";
import type { CoreModule, MathMode } from "./module.ts";
import { type FullShape, resolveShape, type TransformerShape } from "./shape.ts";

/** Runs one micro-batch, which lies in the core: `sequences` sequences of the batch from number `first` on. */
type MicroBatchRun = (sequences: number, first: number) => void;

/** What a model that leads a team of threads asks of it (see `Team`). */
export interface GradientTeam {
  /** Whether anybody would help with a gradient that begins now. */
  helped(): boolean;
  /** Leaves the batch's gradient in the core's total, and returns the sum of its losses. */
  lead(memory: ModelMemory, batch: Batch, dropout: DropoutKey | undefined, sharding: Sharding): number;
}

export class ModelMemory {
  readonly core: CoreExports;
  readonly math: MathMode;
  readonly shape: FullShape;
  readonly parameters: readonly ParameterInfo[];
  readonly parameterCount: number;
  readonly bytes: number;
  /** The threads that share the gradients of large batches; null: this one alone. */
  team: GradientTeam | null = null;
  /** Whether the parameters are a sample of IVON's posterior, whose mean is kept aside. */
  sampled = false;
  readonly #backward: boolean;
  /** Whether the packed weights are those of the parameters. */
  #packed = false;

  /** @throws RangeError for an invalid shape, or if there is not as much memory */
  constructor(module: CoreModule, shape: TransformerShape, options: TransformerOptions) {
    this.math = module.math;
    this.shape = resolveShape(shape);
    this.core = instantiateCore(module);
    this.bytes = planMemory(this.core, this.shape, options);
    if (!this.core.grow(this.bytes))
      throw new RangeError(`no memory: ${(this.bytes / 2 ** 20).toFixed(0)} MiB for the model were refused`);
    this.core.initialise(this.shape.ropeBase);
    this.#backward = hasBackward(options);
    this.parameterCount = this.core.parameterCount();
    this.parameters = parameterTable(this.core);
  }

  /** A view; memory never grows again. */
  floats(pointer: number, length: number): Float32Array {
    return new Float32Array(this.core.memory.buffer, pointer, length);
  }

  /** A copy of the flat vector at `pointer`; in `into`, if given. */
  read(pointer: number, into: Float32Array = new Float32Array(this.parameterCount)): Float32Array {
    this.requireFlat("into", into);
    into.set(this.floats(pointer, this.parameterCount));
    return into;
  }

  /** Sets the flat vector at `pointer`. */
  write(pointer: number, flat: Float32Array): void {
    this.floats(pointer, this.parameterCount).set(flat);
  }

  /** @throws RangeError naming `name` unless `flat` has parameterCount elements; those of a Float64Array are rounded */
  requireFlat(name: string, flat: Float32Array): void {
    requireTypedArray(name, flat, "Float32Array", "Float64Array");
    requireLength(name, flat, this.parameterCount, "the parameters of this model");
  }

  /** To be called after every change of the parameters in the core. */
  parametersChanged(): void {
    this.#packed = false;
  }

  pack(): void {
    if (!this.#packed) this.core.packWeights(this.#backward);
    this.#packed = true;
  }

  /**
   * Copies sequences [from, to) of the batch, by default all, into the core, at most `most` at a time, and calls `run` for
   * each part.
   */
  eachMicroBatch(
    batch: Batch,
    dropout: DropoutKey | undefined,
    run: MicroBatchRun,
    { most = Number.POSITIVE_INFINITY, from = 0, to = batch.batchSize } = {},
  ): void {
    const { core } = this;
    this.#selectDropout(dropout);
    const { length, tokens, targets, positions } = batch;
    const perSequence = positions.length;
    const step = Math.min(most, microBatchSequences(this.shape, length));
    const { buffer } = core.memory;
    new Int32Array(buffer, core.positionsPointer(), perSequence).set(positions);
    for (let first = from; first < to; first += step) {
      const sequences = Math.min(step, to - first);
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
      this.core.selectDropout(0, 0, 0, 0);
      return;
    }
    requireDropoutKey(key);
    this.core.selectDropout(this.shape.dropout, key.seed, key.stream, key.step);
  }

  /** (B, P, width): the first `width` of the `stride` floats in each of the rows that `run` leaves at `pointer`. */
  collectRows(
    batch: Batch,
    dropout: DropoutKey | undefined,
    { pointer, stride, width }: { pointer: number; stride: number; width: number },
    run: MicroBatchRun,
  ): Float32Array {
    this.pack();
    const perSequence = batch.positions.length;
    const out = new Float32Array(batch.batchSize * perSequence * width);
    this.eachMicroBatch(batch, dropout, (sequences, first) => {
      run(sequences, first);
      const rows = sequences * perSequence;
      const source = this.floats(pointer, rows * stride);
      const base = first * perSequence * width;
      for (let r = 0; r < rows; r++)
        out.set(source.subarray(r * stride, r * stride + width), base + r * width);
    });
    return out;
  }

  /** Leaves in the core's gradient the sum of what `run` adds to it, one micro-batch at a time. */
  sumGradients(batch: Batch, dropout: DropoutKey | undefined, run: MicroBatchRun): void {
    this.pack();
    this.core.zeroGradient();
    this.eachMicroBatch(batch, dropout, run);
  }

  /**
   * The same for a mean over the batch, in an order of its sequences that lets the core share prefixes.
   */
  sumGradientsUnordered(batch: Batch, dropout: DropoutKey | undefined, run: MicroBatchRun): void {
    this.sumGradients(this.reordered(batch, dropout), dropout, run);
  }

  /** With equal prefixes next to each other; dropout tells them apart, and its masks go with the place. */
  reordered(batch: Batch, dropout: DropoutKey | undefined): Batch {
    return dropout && this.shape.dropout > 0 ? batch : sortedBatch(batch);
  }

  /** A copy of the gradient; in `into`, if given. */
  gradient(into?: Float32Array): Float32Array {
    return this.read(this.core.gradientPointer(), into);
  }

  gradientView(): Float32Array {
    return this.floats(this.core.gradientPointer(), this.parameterCount);
  }

  setGradient(gradient: Float32Array): void {
    this.write(this.core.gradientPointer(), gradient);
  }

  parametersView(): Float32Array {
    return this.floats(this.core.parametersPointer(), this.parameterCount);
  }

  setParameters(flat: Float32Array): void {
    this.write(this.core.parametersPointer(), flat);
    this.parametersChanged();
    this.sampled = false;
  }
}
