/** Saved posteriors of any kind. */
import type { Safetensors } from "../safetensors.ts";
import { DropoutPosterior } from "./dropout.ts";
import { EmpiricalPosterior } from "./empirical.ts";
import { IvonPosterior } from "./ivon.ts";
import { LaplacePosterior } from "./laplace/laplace.ts";
import { MixturePosterior } from "./mixture.ts";
import type { Posterior } from "./posterior.ts";
import { jsonOf, metadataOf, withPrefix } from "./saved.ts";
import { SwagPosterior } from "./swag.ts";

/**
 * The posterior that `save` wrote.
 * @throws RangeError for an unknown method, or missing parts
 */
export function loadPosterior(saved: Safetensors): Posterior {
  const method = metadataOf(saved, "method");
  switch (method) {
    case "laplace":
      return LaplacePosterior.load(saved);
    case "swag":
      return SwagPosterior.load(saved);
    case "ivon":
      return IvonPosterior.load(saved);
    case "dropout":
      return DropoutPosterior.load(saved);
    case "ensemble":
    case "sgld":
      return EmpiricalPosterior.load(saved);
    case "mixture": {
      const parts = jsonOf(saved, "components") as Record<string, string>[];
      return new MixturePosterior(
        parts.map((metadata, i) => {
          const { tensors } = withPrefix(saved, `component.${i}.`);
          return loadPosterior({ metadata, tensors });
        }),
      );
    }
    default:
      throw new RangeError(
        `method of a saved posterior: got ${method}, must be laplace, swag, ivon, dropout, ensemble, sgld or mixture`,
      );
  }
}
