/** What a run's numbers may depend on besides its configuration: environment.json. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, hostname, release, totalmem } from "node:os";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The version of this package. */
export function packageVersion(): string {
  return JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).version;
}

export interface CoreIdentity {
  math: "fast" | "strict";
  simd: 128 | 256;
  sha256: string;
}

export async function describeEnvironment(
  core: CoreIdentity,
  workers: number,
): Promise<Record<string, unknown>> {
  const slurm = Object.entries(process.env).filter(([name]) => name.startsWith("SLURM_"));
  return {
    epigrok: packageVersion(),
    node: process.version,
    v8: process.versions.v8,
    math: core.math,
    simd: core.simd,
    wasmSha256: core.sha256,
    platform: process.platform,
    arch: process.arch,
    osRelease: release(),
    host: hostname(),
    cpu: cpus()[0]?.model ?? null,
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    workers,
    startedAt: new Date().toISOString(),
    git: await gitState(),
    slurm: Object.fromEntries(slurm),
  };
}

/** Commit and cleanliness of the checkout that contains the working directory; null outside of one. */
async function gitState(): Promise<{ commit: string; dirty: boolean } | null> {
  try {
    const [head, status] = await Promise.all([
      run("git", ["rev-parse", "HEAD"]),
      run("git", ["status", "--porcelain", "--untracked-files=no"]),
    ]);
    return { commit: head.stdout.trim(), dirty: status.stdout.trim() !== "" };
  } catch {
    return null;
  }
}
