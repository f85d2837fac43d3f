/** A fitted posterior as a file: safetensors whose metadata say which checkpoints it is of. */
import { decodeSafetensors, encodeSafetensors, type Safetensors } from "../safetensors.ts";
import { refuse, requireFunction, requireObject, requireTypedArray } from "../validate.ts";
import type { LaplaceEvidence } from "./laplace/evidence.ts";
import { loadPosterior } from "./load.ts";
import { type MethodOptions, methodNamed, type PosteriorMethod } from "./methods/index.ts";
import type { Posterior } from "./posterior.ts";
import { jsonOf } from "./saved.ts";

/** What a saved posterior was made of, and how. */
export interface PosteriorOrigin {
  method: PosteriorMethod;
  options: MethodOptions;
  /** Optimiser steps that its checkpoint had done; of several that of the last one. */
  step: number;
  /** null: all members of the run together. */
  member: number | null;
  /** Of several checkpoints of one member: their steps. */
  checkpointSteps?: number[];
  /** `checkpointDigest` of the parameters it was fitted around. */
  checkpoints: string;
  /** N */
  trainingTerms: number;
  /** Root of the random numbers of fit and predictions. */
  seed: number;
  /** S, draws of its first predictions. */
  samples: number;
  /** `runHash` of the run, if it is of one. */
  run?: string;
  laplace?: LaplaceEvidence | null;
}

/** A posterior that was saved. */
export interface SavedPosterior {
  posterior: Posterior;
  origin: PosteriorOrigin;
}

/** SHA-256 of flat parameter vectors, one after the other, as float32 of the lowest byte first; hexadecimal. */
export async function checkpointDigest(checkpoints: readonly Float32Array[]): Promise<string> {
  if (!Array.isArray(checkpoints)) refuse("checkpoints", checkpoints, "a list");
  for (const parameters of checkpoints) requireTypedArray("checkpoint", parameters, "Float32Array");
  const all = new Float32Array(checkpoints.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const parameters of checkpoints) {
    all.set(parameters, end);
    end += parameters.length;
  }
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", all));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The bytes of the file.
 * @throws RangeError for the matrix-free Laplace approximation, which holds no numbers to save
 */
export function encodePosterior(posterior: Posterior, origin: PosteriorOrigin): Uint8Array {
  requireFunction("posterior.save", requireObject("posterior", posterior).save);
  requireObject("origin", origin);
  const { metadata, tensors } = posterior.save();
  return encodeSafetensors(tensors, { ...metadata, origin: JSON.stringify(origin) });
}

/**
 * What the file holds. Its predictions are, to the last bit, those of the posterior that was saved.
 * @param expected of its origin, for instance `{ checkpoints: await checkpointDigest([parameters]) }`
 * @throws RangeError if it is damaged, no posterior, or of another origin than is expected
 */
export function decodePosterior(bytes: Uint8Array, expected: Partial<PosteriorOrigin> = {}): SavedPosterior {
  const saved = decodeSafetensors(bytes);
  const origin = originOf(saved);
  for (const [key, value] of Object.entries(requireObject("expected", expected))) {
    const found = origin[key as keyof PosteriorOrigin];
    if (found !== value) refuse(`${key} of the saved posterior`, found, `${value}`);
  }
  return { posterior: loadPosterior(saved), origin };
}

function originOf(saved: Safetensors): PosteriorOrigin {
  const origin = jsonOf(saved, "origin") as PosteriorOrigin;
  if (typeof origin !== "object" || origin === null)
    refuse("origin of a saved posterior", origin, "an object");
  const { method, options, step, member, checkpoints, trainingTerms, seed, samples } = origin;
  methodNamed(method);
  const numbers = { step, trainingTerms, seed, samples, member: member ?? 0 };
  for (const [name, value] of Object.entries(numbers))
    if (typeof value !== "number") refuse(`${name} of a saved posterior`, value, "a number");
  if (typeof checkpoints !== "string") refuse("checkpoints of a saved posterior", checkpoints, "a SHA-256");
  if (typeof options !== "object" || options === null)
    refuse("options of a saved posterior", options, "an object");
  return origin;
}
