/**
 * The two builds of the numeric core and the choice between them: `fast` uses fused multiply-add (relaxed SIMD, one
 * rounding, results depend on the CPU), `strict` multiplies and adds (the same bytes on every machine).
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";

export type MathMode = "fast" | "strict";

/** A compiled build. `module` can be posted to worker threads. */
export interface CoreModule {
  module: WebAssembly.Module;
  math: MathMode;
  /** SHA-256 of the Wasm file, hexadecimal. */
  sha256: string;
}

const FILES: Record<MathMode, URL> = {
  strict: new URL("../../build/core.simd.wasm", import.meta.url),
  fast: new URL("../../build/core.fma.wasm", import.meta.url),
};

/** A module whose one function is `f32x4.relaxed_madd`: valid only where relaxed SIMD is. */
const RELAXED_PROBE = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x01, 0x60, 0x03, 0x7b, 0x7b, 0x7b, 0x01, 0x7b,
  0x03, 0x02, 0x01, 0x00, 0x0a, 0x0d, 0x01, 0x0b, 0x00, 0x20, 0x00, 0x20, 0x01, 0x20, 0x02, 0xfd, 0x85, 0x02,
  0x0b,
]);

/** The same for plain 128-bit SIMD: `f32x4.add`. */
const SIMD_PROBE = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x07, 0x01, 0x60, 0x02, 0x7b, 0x7b, 0x01, 0x7b, 0x03,
  0x02, 0x01, 0x00, 0x0a, 0x0b, 0x01, 0x09, 0x00, 0x20, 0x00, 0x20, 0x01, 0xfd, 0xe4, 0x01, 0x0b,
]);

/** Whether this process can run each build. Node 20 has relaxed SIMD behind a flag, set here, before any compilation. */
export function supportedMath(): { simd: boolean; relaxedSimd: boolean } {
  const simd = WebAssembly.validate(SIMD_PROBE);
  if (simd && !WebAssembly.validate(RELAXED_PROBE)) setFlagsFromString("--experimental-wasm-relaxed-simd");
  return { simd, relaxedSimd: WebAssembly.validate(RELAXED_PROBE) };
}

const compiled = new Map<MathMode, Promise<CoreModule>>();

/**
 * Compile a build once per process. `fast` falls back to `strict` where relaxed SIMD is missing; the result says which
 * one it is. Throws if the engine has no Wasm SIMD.
 */
export function loadCoreModule(math: MathMode): Promise<CoreModule> {
  const { simd, relaxedSimd } = supportedMath();
  if (!simd) throw new Error("this JavaScript engine has no WebAssembly SIMD; Node 20.19 or later is needed");
  const chosen: MathMode = math === "fast" && relaxedSimd ? "fast" : "strict";
  let pending = compiled.get(chosen);
  if (!pending) {
    pending = readFile(FILES[chosen]).then(async (bytes) => ({
      module: await WebAssembly.compile(bytes),
      math: chosen,
      sha256: createHash("sha256").update(bytes).digest("hex"),
    }));
    compiled.set(chosen, pending);
  }
  return pending;
}
