/** Sweeps that are served: in the list and on a page of their own, and what is refused. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { seal } from "../src/run/seal.ts";
import { UNSEALED } from "../src/run/unsealed.ts";
import { type Serving, serve } from "../src/serve/server.ts";
import { readSweep, runDirectory } from "../src/sweep/directory.ts";
import { runSweep } from "../src/sweep/sweep.ts";
import { TINY } from "./fixtures/sweep.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const outside = temporaryDirectory();
const root = join(outside, "served");
const grid = join(root, "a b", "grid");
let serving: Serving;
let runs: string[];
const get = (path: string) => fetch(new URL(path, serving.url));

/** A sweep of nothing but its first file. @returns its directory */
function copy(name: string, change = (text: string) => text): string {
  const directory = join(root, name);
  mkdirSync(join(directory, "runs"), { recursive: true });
  const text = change(readFileSync(join(grid, "sweep.json"), "utf8"));
  const unsealed = text.replace(/"sha256": "\w+"/, `"sha256": "${UNSEALED}"`);
  writeFileSync(join(directory, "sweep.json"), seal(Buffer.from(unsealed)));
  return directory;
}

beforeAll(async () => {
  await runSweep({ set: TINY, axes: { seed: "0..2" } }, { out: grid, workers: 2 });
  runs = readSweep(grid).runs.map(({ run }) => run);
  rmSync(join(runDirectory(grid, runs[1]), "summary.json"));
  rmSync(runDirectory(grid, runs[2]), { recursive: true });
  copy("stray", (text) => text.replaceAll(runs[0], "../../a b"));
  symlinkSync(runDirectory(grid, runs[0]), join(copy("linked"), "runs", runs[0]), "junction");
  if (process.platform !== "win32") {
    mkdirSync(join(copy("piped"), "failures"));
    execFileSync("mkfifo", [join(root, "piped", "failures", `${runs[0]}.json`)]);
  }
  serving = await serve({ directory: root });
}, 60_000);
afterAll(() => serving.close());

describe("sweeps", () => {
  it("are listed with their axes and how far they are, and their runs with their settings", async () => {
    const html = await (await get("")).text();
    expect(html).toContain(
      '<a href="sweep/a%20b/grid/">a b/grid</a></th><td>3 of seed</td><td>1 finished, 1 interrupted, 1 waiting</td>',
    );
    expect(html).toContain(
      `<a href="run/a%20b/grid/runs/${runs[1]}/">a b/grid/runs/${runs[1]}</a></th><td>seed=1</td><td>interrupted</td><td>60 of 60</td>`,
    );
    expect(html).not.toMatch(/sweep\/(linked|piped)\//);
    expect(html).toMatch(/sweep\/stray\/.*broken: .*run: got &quot;..\/..\/a b&quot;/);
  });

  it("have a page with their report, which leads to the live pages of the runs", async () => {
    const page = await get("sweep/a%20b/grid/");
    expect(page.status).toBe(200);
    expect(page.headers.get("content-security-policy")).toMatch(
      /^default-src 'none'; .*frame-ancestors 'none'$/,
    );
    const html = await page.text();
    expect(html).toContain("<title>epigrok: sweep grid</title>");
    expect(html).toMatch(new RegExp(`live page</a> ${runs[1]}</th><td>seed=1</td><td>interrupted</td>`));
    const links = [...html.matchAll(/<a href="([^"]*)">live page/g)].map(([, to]) => new URL(to, page.url));
    expect(links.map(({ pathname }) => pathname).sort()).toEqual(
      [runs[0], runs[1]].map((run) => `/run/a%20b/grid/runs/${run}/`).sort(),
    );
    for (const link of links) expect((await fetch(link)).status).toBe(200);
  });

  it("are a sweep, where the directory is one", async () => {
    const one = await serve({ directory: grid });
    expect(await (await fetch(one.url)).text()).toContain('<a href="sweep/./">');
    const page = await fetch(`${one.url}sweep/./`);
    const [, to] = /<a href="([^"]*)">live page/.exec(await page.text())!;
    expect((await fetch(new URL(to, page.url))).status).toBe(200);
    await one.close();
  });

  it.each([
    "sweep/linked/",
    "sweep/piped/",
    "sweep/",
    "sweep/none/",
    "sweep/a%20b/grid/x",
    "sweep/..%2fserved/",
  ])("are not %s", async (path) => {
    expect([400, 404]).toContain((await get(path)).status);
  });

  it("whose runs would lie elsewhere are not opened", async () => {
    expect((await get("sweep/stray/")).status).toBe(500);
  });
});
