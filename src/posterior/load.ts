/** Saved posteriors of any kind. */
import { requireFiniteTensor, type Safetensors } from "../safetensors.ts";
import { refuse } from "../validate.ts";
import { METHOD_DEFINITIONS } from "./methods/index.ts";
import { MixturePosterior } from "./mixture.ts";
import type { Posterior } from "./posterior.ts";
import { jsonOf, metadataOf, requireSaved, withPrefix } from "./saved.ts";

/** By `method` in the metadata; several methods may save the same kind of posterior. */
const LOADERS = new Map<string, (saved: Safetensors) => Posterior>([
  ...METHOD_DEFINITIONS.map(({ name, savedAs = name, load }): [string, typeof load] => [savedAs, load]),
  ["mixture", loadMixture],
]);

/**
 * The posterior that `save` wrote.
 * @throws RangeError for an unknown method, missing parts, or a tensor that is not finite
 */
export function loadPosterior(saved: Safetensors): Posterior {
  requireSaved(saved);
  for (const [name, { data }] of saved.tensors) requireFiniteTensor(name, data);
  const method = metadataOf(saved, "method");
  const load = LOADERS.get(method);
  if (!load) refuse("method of a saved posterior", method, `one of ${[...LOADERS.keys()].join(", ")}`);
  return load(saved);
}

function loadMixture(saved: Safetensors): MixturePosterior {
  const parts = jsonOf(saved, "components") as Record<string, string>[];
  if (!Array.isArray(parts)) refuse("components of a saved posterior", parts, "a list");
  return new MixturePosterior(
    parts.map((metadata, i) => {
      const { tensors } = withPrefix(saved, `component.${i}.`);
      return loadPosterior({ metadata, tensors });
    }),
  );
}
