import { requireCount, requireLength } from "../../validate.ts";
import type { Curvature } from "./curvature.ts";

/** H = diag(H_1, H_2, ...): blocks over consecutive ranges of the flat vector. */
export class BlockCurvature implements Curvature {
  readonly size: number;
  /** The coarsest of the blocks'. */
  readonly resolution: number;
  readonly blocks: readonly Curvature[];

  constructor(blocks: readonly Curvature[]) {
    requireCount("number of blocks", blocks.length);
    this.blocks = blocks;
    this.size = blocks.reduce((sum, block) => sum + block.size, 0);
    this.resolution = Math.max(...blocks.map(({ resolution }) => resolution));
  }

  apply(f: (eigenvalue: number) => number, v: Float64Array): Float64Array {
    requireLength("v", v, this.size);
    return this.#join((block, offset) => block.apply(f, v.subarray(offset, offset + block.size)));
  }

  trace(f: (eigenvalue: number) => number): number {
    return this.blocks.reduce((sum, block) => sum + block.trace(f), 0);
  }

  diagonal(f: (eigenvalue: number) => number): Float64Array {
    return this.#join((block) => block.diagonal(f));
  }

  #join(part: (block: Curvature, offset: number) => Float64Array): Float64Array {
    const out = new Float64Array(this.size);
    let offset = 0;
    for (const block of this.blocks) {
      out.set(part(block, offset), offset);
      offset += block.size;
    }
    return out;
  }
}
