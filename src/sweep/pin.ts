/** A copy of this package with all it needs, so that what is edited or installed later changes no job that waits. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp, mkdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { packageVersion } from "../run/environment.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** What of the package runs. */
const PARTS = ["package.json", "dist", "build", "src/config/presets"];

/** Of any package, what is for readers and tools only. */
const NOT_RUN = /\.(d\.[cm]?ts|map|md)$/;

/**
 * Copies it below `folder`, unless the same is there.
 * @returns the path of its command line
 */
export async function pinPackage(folder: string): Promise<string> {
  const place = join(folder, `epigrok-${packageVersion()}-${await codeHash()}`);
  if (!existsSync(place)) {
    const stage = `${place}.${process.pid}.tmp`;
    await rm(stage, { recursive: true, force: true });
    for (const part of PARTS) {
      await mkdir(dirname(join(stage, part)), { recursive: true });
      // Of build/ the core alone; the rest is documentation.
      const runs = (source: string) =>
        !NOT_RUN.test(source) &&
        (part !== "build" || source === join(root, part) || source.endsWith(".wasm"));
      await cp(join(root, part), join(stage, part), { recursive: true, filter: runs });
    }
    for (const [from, to] of dependencies(root, stage))
      await cp(from, to, { recursive: true, dereference: true, filter: (source) => !NOT_RUN.test(source) });
    await rename(stage, place);
  }
  return join(place, "dist", "cli.js");
}

/** Of what is compiled, and of the versions it was installed with. */
async function codeHash(): Promise<string> {
  const hash = createHash("sha256");
  for (const folder of ["dist", "build"])
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).sort())
      if (/\.(js|wasm)$/.test(name)) hash.update(name).update(readFileSync(join(root, folder, name)));
  for (const [from] of dependencies(root, "")) hash.update(readFileSync(join(from, "package.json")));
  return hash.digest("hex").slice(0, 12);
}

/** Where each package that this one needs is, and its place in a copy at `target`. */
function dependencies(source: string, target: string): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (from: string, to: string): void => {
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(
      readFileSync(join(from, "package.json"), "utf8"),
    );
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const place = installed(name, from);
      // One that is optional may be of another system.
      if (place === null || found.has(place)) continue;
      const own = place === join(from, "node_modules", name);
      const copy = join(own ? to : target, "node_modules", name);
      found.set(place, copy);
      visit(place, copy);
    }
  };
  visit(source, target);
  return found;
}

/** As Node looks it up; null if it is not there. */
function installed(name: string, from: string): string | null {
  for (let folder = from; ; folder = dirname(folder)) {
    const place = join(folder, "node_modules", name);
    if (existsSync(join(place, "package.json"))) return place;
    if (folder === dirname(folder)) return null;
  }
}
