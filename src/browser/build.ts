/** The builds of the numeric core in a browser: 128 bits wide, as no browser merges vectors. */
import type { CoreModule, MathMode } from "../core/module.ts";
import { hasRelaxedSimd, hasSimd } from "../core/support.ts";
import { canDigest, sha256 } from "./digest.ts";

const FILES: Record<MathMode, string> = { strict: "core.simd.wasm", fast: "core.fma.wasm" };

export interface Builds {
  /**
   * `fast` falls back to `strict` where relaxed SIMD is missing; the result says what it is.
   *
   * @throws Error if the file cannot be had
   */
  load(math: MathMode): Promise<CoreModule>;
}

/**
 * Fetches the files at once, so that nothing is fetched later; what is asked for is compiled.
 *
 * @param base the folder of the page
 * @throws Error if the engine has no Wasm SIMD
 */
export function fetchBuilds(base: string): Builds {
  if (!hasSimd()) throw new Error("this browser has no WebAssembly SIMD; a newer one is needed");
  const available = (math: MathMode): MathMode => (math === "fast" && hasRelaxedSimd() ? "fast" : "strict");
  const bytes = new Map<MathMode, Promise<ArrayBuffer>>();
  for (const math of new Set([available("fast"), available("strict")])) bytes.set(math, fetchFile(math));
  for (const pending of bytes.values()) pending.catch(() => {});

  async function fetchFile(math: MathMode): Promise<ArrayBuffer> {
    const response = await fetch(new URL(FILES[math], base));
    if (!response.ok) throw new Error(`${FILES[math]}: ${response.status} ${response.statusText}`);
    return response.arrayBuffer();
  }

  return {
    async load(wanted) {
      const math = available(wanted);
      const file = await bytes.get(math)!;
      return {
        module: await WebAssembly.compile(file),
        math,
        simd: 128,
        sha256: canDigest() ? await sha256(file) : "",
        narrowBecause: "no browser merges vectors",
      };
    },
  };
}
