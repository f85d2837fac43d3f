import { loadCoreModule } from "./build.ts";
import type { TransformerOptions } from "./layout.ts";
import type { MathMode } from "./module.ts";
import type { TransformerShape } from "./shape.ts";
import { instantiateTransformer, type TransformerWith } from "./transformer.ts";

/**
 * A transformer with all parameters zero; initialise it with `setParameters`. `math` defaults to `fast`.
 *
 * @throws RangeError for an invalid shape, or if there is not as much memory
 */
export async function createTransformer<
  const Options extends TransformerOptions & { math?: MathMode } = Record<never, never>,
>(shape: TransformerShape, options: Options = {} as Options): Promise<TransformerWith<Options>> {
  return instantiateTransformer(await loadCoreModule(options.math ?? "fast"), shape, options);
}
