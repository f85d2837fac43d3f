/** The server of pages: what it shows, what it refuses, and clients that are slow, many or elsewhere. */
import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listPage } from "../src/serve/list-page.ts";
import { LivePages } from "../src/serve/live-page.ts";
import { type Serving, serve } from "../src/serve/server.ts";
import { epigrok } from "./fixtures/cli.ts";
import { noBrowser } from "./fixtures/site.ts";
import { syntheticRun, writeSyntheticRun } from "./fixtures/synthetic-run.ts";
import { fileHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const outside = temporaryDirectory();
const root = join(outside, "runs");
const run = syntheticRun({ evaluations: 12 });
let serving: Serving;

const get = (path: string, init?: RequestInit) => fetch(`${serving.url}${path}`, init);

const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });

/** What a page says in its console, from now on. */
function complaintsOf(page: Page): string[] {
  const complaints: string[] = [];
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  return complaints;
}

/** Settings of a run of a second. */
const MINIATURE =
  "task.modulus=17&task.trainTasks=12&task.promptPool=512&model.dModel=32&model.nHeads=2&model.dMlp=64&training.steps=40&training.batchSize=256&evaluation.every=20&evaluation.prompts=64&ensemble.members=2";

/** The first line of the answer to a request as it is written. */
function raw(path: string, headers = "Host: 127.0.0.1"): Promise<string> {
  const { port } = new URL(serving.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), "127.0.0.1");
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(text.split("\r\n")[0]));
    socket.write(`GET ${path} HTTP/1.1\r\n${headers}\r\nConnection: close\r\n\r\n`);
  });
}

/** A named pipe that nobody writes to, in the place of a file. */
function makePipe(path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  execFileSync("mkfifo", [path]);
}

beforeAll(async () => {
  execFileSync(process.execPath, ["scripts/site.mjs"]);
  await writeSyntheticRun(join(root, "single"), run);
  await writeSyntheticRun(join(root, "sweep", "runs", "a b&c"), run);
  await writeSyntheticRun(join(outside, "secret"), run);
  symlinkSync(join(outside, "secret"), join(root, "linked"), "junction");
  mkdirSync(join(root, "escaping"));
  writeFileSync(join(outside, "secret.jsonl"), "secret\n");
  symlinkSync(join(outside, "secret.jsonl"), join(root, "escaping", "metrics.jsonl"));
  writeFileSync(join(root, "escaping", "config.json"), readFileSync(join(root, "single", "config.json")));
  for (const [name, pipe] of [
    ["piped", "metrics.jsonl"],
    // As the claim of a process is named.
    ["piped-lock", join("lock", "1-1-0-000000000000-host")],
  ]) {
    await writeSyntheticRun(join(root, name), run);
    if (process.platform === "win32") rmSync(join(root, name), { recursive: true });
    else makePipe(join(root, name, pipe));
  }
  serving = await serve({ directory: root });
});
afterAll(() => serving.close());

describe("what is served", () => {
  it("is the list of the runs below the directory, and a page of each", async () => {
    const before = fileHashes(join(root, "single"));
    const list = await get("");
    const html = await list.text();
    expect(list.status).toBe(200);
    expect(list.headers.get("content-security-policy")).toMatch(
      /^default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'/,
    );
    expect([...html.matchAll(/<a href="(run[^"]*)">/g)].map(([, address]) => address)).toEqual([
      "run/single/",
      "run/sweep/runs/a%20b%26c/",
    ]);
    const page = await get("run/sweep/runs/a%20b%26c/");
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('<script src="live.js" defer></script>');
    expect(page.headers.get("content-security-policy")).toMatch(
      /^default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'self' 'sha256-[^']+'; connect-src 'self'; base-uri 'none'/,
    );
    expect(page.headers.get("x-content-type-options")).toBe("nosniff");
    expect(fileHashes(join(root, "single"))).toEqual(before);
  });

  it("is a list that says where it ends", async () => {
    const found = Array.from({ length: 201 }, (_, i) => ({ name: `${i}`, directory: join(root, "none") }));
    const html = await listPage({ runs: found, sweeps: found, cut: true }, false);
    expect(html.match(/And 1 more, which are not listed/g)).toHaveLength(2);
    expect(html).toContain("Only the first 100000 files and folders were looked at");
  });

  it("is a single run, where the directory is one", async () => {
    const one = await serve({ directory: join(root, "single") });
    expect(await (await fetch(one.url)).text()).toContain('<a href="run/./">');
    expect((await fetch(`${one.url}run/./`)).status).toBe(200);
    await one.close();
  });

  it.each([
    "/run/../secret/",
    "/run/%2e%2e/secret/",
    "/run/..%2fsecret/",
    "/run/..%5csecret/",
    "/run/linked/",
    "/run/escaping/",
    "/run/piped/",
    "/run/piped-lock/",
    "/run/single/config.json",
    "/run/single/..%2f..%2fsecret.jsonl",
    "/run/single%00/",
    "/run/",
    "/run//single/",
    "/run/.hidden/",
    "/playground/../package.json",
    "/playground/..%2f..%2fpackage.json",
    "/etc/passwd",
    "/%",
    "//127.0.0.1/run/single/",
  ])("is not %s", async (path) => {
    expect(await raw(path)).toMatch(/^HTTP\/1\.1 (400|404) /);
  });

  it("is the playground, by the names of its files", async () => {
    expect(await (await get("")).text()).toContain('<a href="playground/">');
    const page = await get("playground/");
    expect(await page.text()).toContain("<h1>Watch it grok</h1>");
    expect(page.headers.get("content-security-policy")).toMatch(
      /^default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; .*; frame-ancestors 'none'$/,
    );
    for (const [name, type] of [
      ["page.js", "text/javascript; charset=utf-8"],
      ["core.simd.wasm", "application/wasm"],
    ]) {
      const file = await get(`playground/${name}`);
      expect([file.status, file.headers.get("content-type")]).toEqual([200, type]);
    }
  });

  it.skipIf(noBrowser !== null)("is the playground that trains, with the policy of its header", async () => {
    const browser = await launch();
    try {
      const page = await browser.newPage();
      const complaints = complaintsOf(page);
      await page.goto(`${serving.url}playground/#${MINIATURE}`);
      await page.getByRole("button", { name: "Start", exact: true }).click();
      await page.locator("#progress-text").filter({ hasText: "Finished" }).waitFor({ timeout: 20_000 });
      await page.goto(serving.url);
      expect(await page.getByRole("link").count()).toBeGreaterThan(2);
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
    }
  });

  it("is what the command line serves until it is interrupted", async () => {
    const { code, stdout, stderr } = await epigrok(["serve", root, "--port", "0"], {
      running: (child) =>
        child.stdout?.on("data", async (url) => {
          const list = await fetch(String(url).trim());
          child.kill(list.status === 200 ? "SIGINT" : "SIGKILL");
        }),
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/\n$/);
  });

  it("is only read, and only under its own name", async () => {
    expect((await get("", { method: "POST", body: "x" })).status).toBe(405);
    expect(await raw("/", "Host: evil.example")).toMatch(/ 403 /);
    expect(await raw("/", "Host: 127.evil.example")).toMatch(/ 403 /);
    expect(await raw("/", "Host: localhost:1")).toMatch(/ 200 /);
    expect((await get("run/single/events", { method: "HEAD" })).status).toBe(404);
  });

  it("needs the token beyond this machine", async () => {
    const open = await serve({ directory: root, host: "0.0.0.0" });
    const url = new URL(open.url.replace("0.0.0.0", "127.0.0.1"));
    expect(url.pathname).toMatch(/^\/[0-9a-f]{32}\/$/);
    expect((await fetch(url)).status).toBe(200);
    expect((await fetch(new URL("run/single/live.js", url))).status).toBe(200);
    expect((await fetch(new URL("/", url))).status).toBe(404);
    expect((await fetch(new URL(`/${"0".repeat(32)}/`, url))).status).toBe(404);
    expect((await fetch(new URL("/run/single/", url))).status).toBe(404);
    await open.close();
  });

  it("names a directory that is none, and a port that is taken", async () => {
    await expect(serve({ directory: join(root, "none") })).rejects.toThrow(/^cannot read .*none/);
    await expect(serve({ directory: import.meta.filename })).rejects.toThrow(/: it is not a directory$/);
    const port = Number(new URL(serving.url).port);
    await expect(serve({ directory: root, port })).rejects.toThrow(`cannot listen on 127.0.0.1:${port}`);
  });
});

describe("pages of a run that goes on", () => {
  it("are made in a fifth of the time at most, so that its training has the rest", async () => {
    const directory = join(root, "sweep", "runs", "a b&c");
    const pages = new LivePages();
    expect(pages.rests(directory)).toBe(false);
    const began = performance.now();
    const page = pages.page(directory);
    await expect.poll(() => pages.rests(directory)).toBe(true);
    await page;
    const took = performance.now() - began;
    await pages.made();
    await expect.poll(() => pages.rests(directory), { interval: 5, timeout: 60_000 }).toBe(false);
    expect(performance.now() - began).toBeGreaterThan(4.5 * took);
  });
});

describe("events of a run", () => {
  /** Messages from now on. */
  async function follow(name: string) {
    const controller = new AbortController();
    const response = await get(`run/${name}/events`, { signal: controller.signal });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    return {
      close: () => controller.abort(),
      async next(): Promise<string> {
        for (;;) {
          const found = /data: (.*)\n\n/.exec(text);
          if (found) {
            text = text.slice(found.index + found[0].length);
            return found[1];
          }
          const { value, done } = await reader.read();
          if (done) throw new Error("the stream ended");
          text += value;
        }
      },
    };
  }

  it("come when its files change, past a thousand clients that never read", async () => {
    const { port } = new URL(serving.url);
    const wanted = Array.from({ length: 1000 }, (_, i) => (i % 10 === 0 ? "" : "events"));
    const idle = await Promise.all(
      wanted.map(
        (page) =>
          new Promise<Socket>((resolve, reject) => {
            const socket = connect(Number(port), "127.0.0.1", () => {
              socket.pause();
              socket.write(`GET /run/single/${page} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
              resolve(socket);
            });
            socket.on("error", reject);
          }),
      ),
    );
    const events = await follow("single");
    const first = await events.next();
    appendFileSync(join(root, "single", "timing.jsonl"), "\n");
    appendFileSync(join(root, "single", "metrics.jsonl"), "\n");
    expect(await events.next()).not.toBe(first);
    events.close();
    for (const socket of idle) socket.destroy();
    const again = await follow("single");
    expect(await again.next()).not.toBe(first);
    again.close();
  }, 30_000);

  it.skipIf(noBrowser !== null)(
    "bring a page up to date that keeps what its reader has chosen",
    async () => {
      const name = join(root, "growing");
      const { records } = run;
      await writeSyntheticRun(name, { ...run, records: records.slice(0, 4) });
      const browser = await launch();
      try {
        const page = await browser.newPage();
        const complaints = complaintsOf(page);
        await page.goto(`${serving.url}run/growing/`);
        await page.locator("label[for=axis-log]").click();
        const accuracy = page.locator("#accuracy").first();
        const before = await accuracy.innerHTML();
        await page.waitForTimeout(1500);
        appendFileSync(
          join(name, "metrics.jsonl"),
          records
            .slice(4)
            .map((record) => `${JSON.stringify(record)}\n`)
            .join(""),
        );
        await expect.poll(() => accuracy.innerHTML(), { timeout: 60_000 }).not.toBe(before);
        expect(await page.locator("#axis-log").isChecked()).toBe(true);
        expect(await page.locator(".player .frame").filter({ visible: true }).count()).toBe(1);
        expect(complaints).toEqual([]);
      } finally {
        await browser.close();
      }
    },
    120_000,
  );
});
