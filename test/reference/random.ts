/** Seeded random parameters, directions and batches for tests. */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { ReferenceBatch, ReferenceShape, ReferenceTransformer } from "./transformer.ts";

export class Random {
  readonly #generator;

  constructor(seed: number) {
    this.#generator = xoroshiro128plus(seed);
  }

  /** Standard normal deviates (Box-Muller). */
  normals(length: number): Float64Array {
    return Float64Array.from({ length }, () => {
      const radius = Math.sqrt(-2 * Math.log(1 - uniformFloat64(this.#generator)));
      return radius * Math.cos(2 * Math.PI * uniformFloat64(this.#generator));
    });
  }

  /** Integers in 0..below-1. */
  integers(length: number, below: number): Int32Array {
    return Int32Array.from({ length }, () => uniformInt(this.#generator, 0, below - 1));
  }

  /** Uniform on the unit sphere. */
  direction(length: number): Float64Array {
    const v = this.normals(length);
    const norm = Math.sqrt(v.reduce((s, x) => s + x * x, 0));
    return v.map((x) => x / norm);
  }

  /** Matrices N(0, std^2) and LayerNorm parameters near 1 and 0, all away from any special value. */
  parameters(model: ReferenceTransformer, std = 0.4): Float64Array {
    const params = this.normals(model.parameterCount).map((x) => std * x);
    for (const { name, offset, length } of model.parameters) {
      if (/\.ln_\w+\.weight$/.test(name)) {
        for (let i = offset; i < offset + length; i++) params[i] += 1;
      }
    }
    return params;
  }

  batch(
    shape: ReferenceShape,
    batchSize: number,
    length: number,
    positions: ArrayLike<number>,
  ): ReferenceBatch {
    return {
      tokens: this.integers(batchSize * length, shape.dVocab),
      batchSize,
      length,
      positions: Int32Array.from(positions),
      targets: this.integers(batchSize * positions.length, shape.dVocab),
    };
  }

  /** Give each sequence of the batch a beginning, of any length up to the whole, of an earlier one. */
  shareBeginnings({ tokens, batchSize, length }: ReferenceBatch): void {
    for (let s = 1; s < batchSize; s++) {
      const [from] = this.integers(1, s);
      const [common] = this.integers(1, length + 1);
      tokens.copyWithin(s * length, from * length, from * length + common);
    }
  }
}
