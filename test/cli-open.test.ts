/** `epigrok run --open`: the live page of a run, and browsers that show it or do not. */
import type { ChildProcess } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { beforeAll, describe, expect, it } from "vitest";
import { PORT } from "../src/serve/port.ts";
import { serveRunPage } from "../src/serve/run-page.ts";
import { epigrok } from "./fixtures/cli.ts";
import { SECOND_ASSIGNMENTS } from "./fixtures/config.ts";
import { noBrowser } from "./fixtures/site.ts";
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

  it("takes another address where the usual one is taken", async () => {
    const other = createServer();
    // Where somebody has it already, that will do.
    await new Promise<void>((done) => other.once("error", () => done()).listen(PORT, "127.0.0.1", done));
    const page = await new Promise<string>((served, failed) => {
      const opened = serveRunPage(join(root, "alone"), {
        served: (url) => opened.close().then(() => served(url)),
        failed,
      });
    });
    expect(page).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/run\/$/);
    expect(page).not.toContain(`:${PORT}/`);
    other.close();
  });

  it.skipIf(noBrowser !== null)(
    "has the address of before after a kill, so that an open page goes on",
    async ({ skip }) => {
      const { program, url } = browser("stays", "exit 0");
      const long = ["--quiet", "--set", "training.steps=1000000", "--set", "evaluation.every=100"];
      const chrome = await chromium.launch({
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        args: ["--no-sandbox", "--disable-dev-shm-usage"],
      });
      try {
        const page = await chrome.newPage();
        const opened = async (child: ChildProcess, times: number) => {
          while (url().split("\n").filter(Boolean).length < times && child.exitCode === null) await pause(5);
        };
        const facts = () => page.locator("main").textContent();
        await run(
          "killed",
          { BROWSER: program },
          async (child) => {
            await opened(child, 1);
            const told = page.waitForResponse(/\/events$/);
            await page.goto(url());
            await told;
            await pause(500);
            child.kill("SIGKILL");
          },
          ...long,
        );
        if (!url().includes(`:${PORT}/`)) skip(`port ${PORT} is taken on this machine`);
        const before = await facts();
        await run(
          "killed",
          { BROWSER: program },
          async (child) => {
            await opened(child, 2);
            await expect
              .poll(facts, { timeout: 30_000 })
              .not.toBe(before)
              .catch(() => {});
            child.kill("SIGINT");
          },
          ...long,
        );
        expect(await facts()).not.toBe(before);
        const [first, second] = url().split("\n");
        expect(second).toBe(first);
      } finally {
        await chrome.close();
      }
    },
    120_000,
  );

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
