/**
 * How wide the core's arithmetic is. WebAssembly has vectors of 128 bits; V8 of Node 24 and later can merge pairs of
 * such operations into 256-bit ones, behind a flag of the whole process that has to be set before the core is compiled.
 */
import { setFlagsFromString } from "node:v8";
import { UsageError } from "../errors.ts";

const FLAG = "--experimental-wasm-revectorize";
/** The first V8 that merges what the wide builds are made of: Node 24's. */
const FIRST_V8 = 13;

/** `auto`: 256 bits where this process can, otherwise 128. The numbers are the same, byte for byte. */
export const SIMD_CHOICES = ["auto", "128", "256"] as const;
export type SimdChoice = (typeof SIMD_CHOICES)[number];

let enabled = process.execArgv.includes(FLAG);
let chosen: SimdChoice | undefined;

/**
 * Lets this process run the core 256 bits wide by setting V8's flag `--experimental-wasm-revectorize`, which holds for
 * all WebAssembly of the process and its worker threads. To be called before a core is loaded. It has no effect on
 * engines that cannot merge vectors.
 *
 * @returns whether the flag is on
 */
export function enableWideSimd(): boolean {
  if (!enabled && engineObstacle() === null) {
    setFlagsFromString(FLAG);
    enabled = true;
  }
  return enabled;
}

/** The width of the cores that are loaded from now on without a choice of their own, in place of EPIGROK_SIMD. */
export function setSimdChoice(choice: SimdChoice): void {
  chosen = choice;
}

/** The environment variable that chooses, where nothing else does. */
export const SIMD_VARIABLE = "EPIGROK_SIMD";

/**
 * What was set by `setSimdChoice`, else the variable EPIGROK_SIMD, else `auto`.
 *
 * @throws UsageError if the variable is something else
 */
export function simdChoice(): SimdChoice {
  if (chosen) return chosen;
  const value = (process.env[SIMD_VARIABLE] || "auto") as SimdChoice;
  if (SIMD_CHOICES.includes(value)) return value;
  throw new UsageError(`${SIMD_VARIABLE}: got ${value}, must be one of ${SIMD_CHOICES.join(", ")}`);
}

/** Why nothing in this process can be 256 bits wide; null if it can. */
export function obstacleToWideSimd(): string | null {
  const obstacle = engineObstacle();
  if (obstacle) return obstacle;
  return enabled ? null : `V8's flag ${FLAG} is off (enableWideSimd sets it)`;
}

function engineObstacle(): string | null {
  if (process.arch !== "x64") return `no engine is known to merge vectors on ${process.arch}`;
  if (newerNodeMerges()) return `Node 24 or later is needed, this is ${process.version}`;
  return null;
}

/** Whether a later version of Node, on this machine, could be 256 bits wide. */
export function newerNodeMerges(): boolean {
  return process.arch === "x64" && Number.parseInt(process.versions.v8, 10) < FIRST_V8;
}
