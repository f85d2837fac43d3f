/** The builds of the numeric core on Node, two maths at two widths, and the choice between them. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { UsageError } from "../errors.ts";
import { wideObstacle } from "./known-answer.ts";
import type { CoreModule, MathMode, SimdWidth } from "./module.ts";
import { obstacleToWideSimd, type SimdChoice, simdChoice } from "./simd.ts";
import { hasRelaxedSimd, hasSimd } from "./support.ts";

const FILES: Record<MathMode, Record<SimdWidth, string>> = {
  strict: { 128: "core.simd.wasm", 256: "core.simd256.wasm" },
  fast: { 128: "core.fma.wasm", 256: "core.fma256.wasm" },
};

/** Whether this process can run each math. Node 20 has relaxed SIMD behind a flag, set here, before any compilation. */
export function supportedMath(): { simd: boolean; relaxedSimd: boolean } {
  const simd = hasSimd();
  if (simd && !hasRelaxedSimd()) setFlagsFromString("--experimental-wasm-relaxed-simd");
  return { simd, relaxedSimd: hasRelaxedSimd() };
}

/** Each build is compiled, and each comparison made, once per process. */
const loaded = new Map<string, Promise<unknown>>();

function once<T>(key: string, make: () => Promise<T>): Promise<T> {
  if (!loaded.has(key)) loaded.set(key, make());
  return loaded.get(key) as Promise<T>;
}

/**
 * A compiled core. `fast` falls back to `strict` where relaxed SIMD is missing, `auto` to 128 bits where 256 are not to
 * be had; the result says what it is.
 *
 * @param simd by default what this process was told, see `simdChoice`
 * @throws Error if the engine has no Wasm SIMD, UsageError if 256 bits are asked for where they are not to be had
 */
export async function loadCoreModule(math: MathMode, simd: SimdChoice = simdChoice()): Promise<CoreModule> {
  const available = availableMath(math);
  if (simd === "128") return narrowCore(available, null);
  const { core, obstacle } = await once(`${available} widest`, () => widest(available));
  if (simd === "256" && obstacle)
    throw new UsageError(`simd: got 256, must be 128 or auto here: ${obstacle}`);
  return core;
}

/** @throws Error if there is none */
function availableMath(math: MathMode): MathMode {
  const supported = supportedMath();
  if (!supported.simd)
    throw new Error("this JavaScript engine has no WebAssembly SIMD; Node 20.19 or later is needed");
  return math === "fast" && supported.relaxedSimd ? "fast" : "strict";
}

/** Asked of other threads, by math. undefined: they have no answer. */
const askedAhead = new Map<MathMode, Promise<string | null | undefined>>();

/**
 * Lets another thread make the known-answer test of a wide core that is likely to be loaded later.
 *
 * @param compare `wideObstacle` on that thread; if it fails, `loadCoreModule` makes the test itself
 */
export function compareAhead(
  math: MathMode,
  compare: (wide: CoreModule, narrow: CoreModule) => Promise<string | null>,
): void {
  if (simdChoice() === "128" || obstacleToWideSimd()) return;
  const available = availableMath(math);
  const asked = bothWidths(available).then(({ wide, narrow }) => compare(wide, narrow));
  askedAhead.set(
    available,
    asked.catch(() => undefined),
  );
}

async function widest(math: MathMode): Promise<{ core: CoreModule; obstacle: string | null }> {
  const known = obstacleToWideSimd();
  if (known) return { core: await narrowCore(math, known), obstacle: known };
  const { wide, narrow } = await bothWidths(math);
  const told = await askedAhead.get(math);
  const obstacle = told === undefined ? wideObstacle(wide, narrow) : told;
  return obstacle
    ? { core: { ...narrow, narrowBecause: obstacle }, obstacle }
    : { core: wide, obstacle: null };
}

async function bothWidths(math: MathMode): Promise<{ wide: CoreModule; narrow: CoreModule }> {
  const [narrow, { module }] = await Promise.all([
    narrowCore(math, null),
    once(`${math} 256`, () => compile(math, 256)),
  ]);
  return { wide: { ...narrow, module, simd: 256 }, narrow };
}

async function narrowCore(math: MathMode, narrowBecause: string | null): Promise<CoreModule> {
  const { module, bytes } = await once(`${math} 128`, () => compile(math, 128));
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { module, math, simd: 128, sha256, narrowBecause };
}

async function compile(math: MathMode, simd: SimdWidth) {
  const bytes = await readFile(new URL(`../../build/${FILES[math][simd]}`, import.meta.url));
  return { module: await WebAssembly.compile(bytes), bytes };
}
