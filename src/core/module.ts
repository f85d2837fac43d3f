/** What a compiled build of the numeric core is, for those who only use one. */

/**
 * `fast` uses fused multiply-add (relaxed SIMD, one rounding, results depend on the CPU), `strict` multiplies and adds
 * (the same bytes on every machine).
 */
export type MathMode = "fast" | "strict";

/** Bits of one vector operation. Both widths give the same bytes. */
export type SimdWidth = 128 | 256;

/** A compiled build. `module` can be posted to worker threads. */
export interface CoreModule {
  module: WebAssembly.Module;
  math: MathMode;
  simd: SimdWidth;
  /** SHA-256 of the 128-bit Wasm file of this math, hexadecimal: builds of equal hash give equal bytes at any width. */
  sha256: string;
  /** Why `auto` took 128 bits, in a sentence without capital and full stop; null if it took 256, or was not asked. */
  narrowBecause: string | null;
}
