import { loadCoreModule } from "./build.ts";
import type { MathMode } from "./module.ts";
import { Transformer, type TransformerOptions, type TransformerShape } from "./transformer.ts";

/** A transformer with all parameters zero; initialise it with `setParameters`. */
export async function createTransformer(
  shape: TransformerShape,
  options: TransformerOptions & { math?: MathMode } = {},
): Promise<Transformer> {
  return new Transformer(await loadCoreModule(options.math ?? "fast"), shape, options);
}
