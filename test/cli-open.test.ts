/** `epigrok run --open`: the live page of a run, and browsers that show it or do not. */
import type { ChildProcess } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { serveRunPage } from "../src/serve/run-page.ts";
import { epigrok } from "./fixtures/cli.ts";
import { SECOND_ASSIGNMENTS } from "./fixtures/config.ts";
import { resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const SETTINGS = [...SECOND_ASSIGNMENTS, "ensemble.members=2"].flatMap((assignment) => ["--set", assignment]);
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A program for BROWSER. @returns its path, and what it was called with so far */
function browser(name: string, body: string) {
  const [program, calls] = [join(root, name), join(root, `${name}.txt`)];
  writeFileSync(program, `#!/bin/sh\necho "$@" >> '${calls}'\n${body}\n`);
  chmodSync(program, 0o755);
  return {
    program,
    url: () => (existsSync(calls) ? readFileSync(calls, "utf8").trimEnd() : ""),
  };
}

/** Until the server is gone. */
async function follow(url: string, told: () => Promise<void>): Promise<void> {
  const { body } = await fetch(new URL("events", url));
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value } = await reader.read().catch(() => ({ value: undefined }));
    if (value === undefined) return;
    if (value.includes("data: ")) await told();
  }
}

const run = (
  out: string,
  env: Record<string, string>,
  running?: (child: ChildProcess) => void,
  ...more: string[]
) =>
  epigrok(["run", ...SETTINGS, "--no-posterior", "--out", out, "--resume", "--open", ...more], {
    ...{ cwd: root, env, running },
  });

describe.skipIf(process.platform === "win32")("epigrok run --open", () => {
  let expected: Record<string, string>;
  beforeAll(async () => {
    expect(
      (await epigrok(["run", ...SETTINGS, "--no-posterior", "--out", "alone"], { cwd: root })).code,
    ).toBe(0);
    expected = resultHashes(join(root, "alone"));
  }, 120_000);

  it("shows a browser the run's page until its end, and trains the same", async () => {
    const { program, url } = browser("shows", "exit 0");
    let last = "";
    const { code, stdout, stderr } = await run("shown", { BROWSER: program }, async (child) => {
      while (url() === "" && child.exitCode === null) await pause(5);
      const page = await fetch(url());
      expect(page.status).toBe(200);
      expect(await page.text()).toContain('<script src="live.js" defer></script>');
      expect((await fetch(new URL("live.js", url()))).status).toBe(200);
      // As the page does, whenever it is told that something has changed.
      await follow(url(), async () => {
        last = await (await fetch(url())).text();
      });
    });
    expect(code).toBe(0);
    expect(url()).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/run\/$/);
    expect(stderr).toContain(`\nlive page: ${url()}\n`);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what moves cursors and colours text begins with it
    expect(stdout + stderr).not.toMatch(/\x1b/);
    const [verdict] = stdout.split("\n");
    expect(last).toContain(verdict.slice(0, 20));
    expect(resultHashes(join(root, "shown"))).toEqual(expected);
    await expect(fetch(url())).rejects.toThrow("fetch failed");
  });

  it.each<[string, () => Record<string, string>, RegExp | null]>([
    [
      "that is not there",
      () => ({ BROWSER: join(root, "none") }),
      /\nno browser shows it: spawn .*none ENOENT\n/,
    ],
    [
      "that fails",
      () => ({ BROWSER: browser("fails", "exit 3").program }),
      /\nno browser shows it: .*fails ended with 3\n/,
    ],
    ["that is not wanted without a screen", () => ({ BROWSER: "", DISPLAY: "", WAYLAND_DISPLAY: "" }), null],
  ])("goes on with a browser %s", async (name, env, complaint) => {
    const out = name.replaceAll(" ", "-");
    const { code, stderr } = await run(out, env());
    expect(code).toBe(0);
    expect(stderr).toMatch(/\nlive page: http:\/\/127\.0\.0\.1:\d+\/run\/\n/);
    if (complaint) expect(stderr).toMatch(complaint);
    else expect(stderr).not.toContain("browser");
    expect(resultHashes(join(root, out))).toEqual(expected);
  });

  it("stops with Ctrl-C as without it, also while somebody looks", async () => {
    const { program, url } = browser("looks", "exit 0");
    const outcome = await run(
      "stopped",
      { BROWSER: program },
      async (child) => {
        while (url() === "" && child.exitCode === null) await pause(5);
        await follow(url(), async () => {
          child.kill("SIGINT");
        });
      },
      ...["--quiet", "--set", "training.steps=1000000", "--set", "evaluation.every=100000"],
    );
    expect(outcome).toMatchObject({ code: 130, stdout: "" });
    expect(outcome.stderr).toBe(
      `live page: ${url()}\nStopped, nothing is lost. Continue with: epigrok run --resume stopped\n`,
    );
  });

  it("has no page for what only says what it would cost", async () => {
    const { code, stderr } = await epigrok(["run", "--dry-run", "--open"]);
    expect({ code, stderr }).toEqual({ code: 2, stderr: "epigrok: --open: a dry run has no page\n" });
  });

  it("tells nobody of a page that is closed while it loads", async () => {
    const told: string[] = [];
    const page = serveRunPage(join(root, "alone"), {
      served: (url) => told.push(url),
      failed: (error) => told.push(error.message),
    });
    await page.close();
    await page.close();
    expect(told).toEqual([]);
  });
});
