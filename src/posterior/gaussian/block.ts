import { requireLength, requireNonEmpty } from "../../validate.ts";
import { type Curvature, requireStructure, type Whitened } from "./curvature.ts";

/** H = diag(H_1, H_2, ...): blocks over consecutive ranges of the flat vector. */
export class BlockCurvature implements Curvature {
  readonly size: number;
  /** The coarsest of the blocks'. */
  readonly resolution: number;
  readonly blocks: readonly Curvature[];
  /** Of each block, where it begins. */
  readonly #offsets: readonly number[];

  constructor(blocks: readonly Curvature[]) {
    requireNonEmpty("blocks", blocks);
    for (const block of blocks) requireStructure(block);
    this.blocks = blocks;
    let end = 0;
    this.#offsets = blocks.map(({ size }) => {
      end += size;
      return end - size;
    });
    this.size = end;
    this.resolution = Math.max(...blocks.map(({ resolution }) => resolution));
  }

  apply(f: (eigenvalue: number) => number, v: Float64Array): Float64Array {
    requireLength("v", v, this.size);
    return this.#join((block, i) =>
      block.apply(f, v.subarray(this.#offsets[i], this.#offsets[i] + block.size)),
    );
  }

  trace(f: (eigenvalue: number) => number): number {
    return this.blocks.reduce((sum, block) => sum + block.trace(f), 0);
  }

  diagonal(f: (eigenvalue: number) => number): Float64Array {
    return this.#join((block) => block.diagonal(f));
  }

  whitened(prior: Float64Array): Whitened {
    requireLength("prior", prior, this.size);
    const parts = this.blocks.map((block, i) =>
      block.whitened(prior.subarray(this.#offsets[i], this.#offsets[i] + block.size)),
    );
    return {
      base: this.#join((_, i) => parts[i].base),
      curvature: new BlockCurvature(parts.map(({ curvature }) => curvature)),
    };
  }

  part(offset: number, length: number): Curvature | null {
    const end = offset + length;
    const parts = this.blocks.flatMap((block, i) => {
      const start = this.#offsets[i];
      const [from, to] = [Math.max(offset, start), Math.min(end, start + block.size)];
      return from < to ? [block.part(from - start, to - from)] : [];
    });
    return parts.every((part) => part !== null) ? new BlockCurvature(parts) : null;
  }

  #join(part: (block: Curvature, index: number) => Float64Array): Float64Array {
    const out = new Float64Array(this.size);
    this.blocks.forEach((block, i) => {
      out.set(part(block, i), this.#offsets[i]);
    });
    return out;
  }
}
