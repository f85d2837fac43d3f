/** What the numbers of a run may depend on besides its settings: all runs of a sweep should have it in common. */
import type { Config } from "../config/schema.ts";
import { loadCoreModule } from "../core/build.ts";
import type { MathMode } from "../core/module.ts";
import { UsageError } from "../errors.ts";
import { packageVersion } from "../run/environment.ts";

export interface Builds {
  /** Version of this package. */
  epigrok: string;
  /** By the math that is asked for: the one that is there, its width, and its Wasm file. */
  cores: Partial<Record<MathMode, { math: MathMode; simd: 128 | 256; wasmSha256: string }>>;
}

/** Those of this process, for runs of these maths. */
export async function buildsHere(configs: Iterable<Pick<Config, "math">>): Promise<Builds> {
  const maths = [...new Set(Array.from(configs, ({ math }) => math))].sort();
  const cores = await Promise.all(
    maths.map(async (asked) => {
      const { math, simd, sha256 } = await loadCoreModule(asked);
      return [asked, { math, simd, wasmSha256: sha256 }];
    }),
  );
  return { epigrok: packageVersion(), cores: Object.fromEntries(cores) };
}

/** @throws UsageError if they differ, naming in what */
export function requireSameBuilds(recorded: Builds, here: Builds): void {
  const differences: string[] = [];
  const compare = (what: string, then: unknown, now: unknown) => {
    if (then !== undefined && then !== now) differences.push(`${what} ${then}, here ${now}`);
  };
  compare("epigrok", recorded.epigrok, here.epigrok);
  for (const [asked, now] of Object.entries(here.cores)) {
    const then = recorded.cores[asked as MathMode];
    compare("math", then?.math, now.math);
    compare("simd", then?.simd, now.simd);
    compare("Wasm", then?.wasmSha256.slice(0, 12), now.wasmSha256.slice(0, 12));
  }
  if (differences.length === 0) return;
  throw new UsageError(
    `the sweep was begun with ${differences.join("; ")}. Use the same (--simd sets the width), or say --mixed if its runs may differ in that`,
  );
}
