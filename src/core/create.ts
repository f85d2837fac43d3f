import { keysOf, requireKeys } from "../validate.ts";
import { loadCoreModule } from "./build.ts";
import type { TransformerOptions } from "./layout.ts";
import type { MathMode } from "./module.ts";
import type { TransformerShape } from "./shape.ts";
import { instantiateTransformer, type TransformerWith } from "./transformer.ts";

const SHAPE = keysOf<TransformerShape>({
  ...{ dVocab: true, dModel: true, nHeads: true, nLayers: true, dMlp: true, nCtx: true, actFn: true },
  ...{ tiedEmbeddings: true, ropeBase: true, roles: true, dropout: true },
});

/**
 * A transformer with all parameters zero; initialise it with `setParameters`. `math` defaults to `fast`.
 *
 * @throws RangeError for an invalid shape, an option that there is none of, or if there is not as much memory
 */
export async function createTransformer<
  const Options extends TransformerOptions & { math?: MathMode } = Record<never, never>,
>(shape: TransformerShape, options: Options = {} as Options): Promise<TransformerWith<Options>> {
  requireKeys("shape", shape, SHAPE);
  requireKeys("options", options, ["math", "optimizer", "gradients", "curvature", "kronecker"]);
  return instantiateTransformer(await loadCoreModule(options.math ?? "fast"), shape, options);
}
