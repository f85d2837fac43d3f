/** Instances of a compiled core. Apart from its loading, so that worker threads do not load what only that needs. */
import { instantiateSync } from "@assemblyscript/loader";
import type { CoreExports } from "./exports.ts";
import type { CoreModule } from "./module.ts";

/** A fresh instance with its own private memory. */
export function instantiateCore(core: CoreModule): CoreExports {
  return instantiateSync<CoreExports & Record<string, unknown>>(core.module, {}).exports;
}
