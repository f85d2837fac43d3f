/** Live pages whose server fails, goes away and comes back, or is another run's meanwhile. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Serving, serve } from "../src/serve/server.ts";
import { noBrowser } from "./fixtures/site.ts";
import { syntheticRun, writeSyntheticRun } from "./fixtures/synthetic-run.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const run = syntheticRun({ evaluations: 12 });
const lines = (from: number, to?: number) =>
  run.records
    .slice(from, to)
    .map((record) => `${JSON.stringify(record)}\n`)
    .join("");

describe.skipIf(noBrowser !== null)("a live page", () => {
  let browser: Browser;
  let serving: Serving;
  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-dev-shm-usage"],
    });
  });
  afterAll(async () => {
    await serving.close();
    await browser.close();
  });

  /** A page that follows a new run of the first evaluations. */
  async function follow(
    name: string,
  ): Promise<{ page: Page; metrics: string; shown: () => Promise<string> }> {
    const directory = join(root, name);
    await writeSyntheticRun(directory, { ...run, records: run.records.slice(0, 4) });
    serving = await serve({ directory });
    const page = await browser.newPage();
    const first = page.waitForResponse(/\/events$/);
    await page.goto(`${serving.url}run/`);
    await first;
    // Until it knows which state it shows.
    await page.waitForTimeout(500);
    return {
      page,
      metrics: join(directory, "metrics.jsonl"),
      shown: () => page.locator("#accuracy").first().innerHTML(),
    };
  }

  it("asks again after an answer that is not what it asked for", async () => {
    const { page, metrics, shown } = await follow("failing");
    const before = await shown();
    let failures = 0;
    await page.route("**/run/", (route) => {
      if (++failures > 1) return route.continue();
      return route.fulfill({ status: 500, body: "not now" });
    });
    appendFileSync(metrics, lines(4));
    await expect.poll(shown, { timeout: 30_000 }).not.toBe(before);
    expect(failures).toBe(2);
    await serving.close();
  }, 60_000);

  it("goes on when its server is back, also where another one has refused it meanwhile", async () => {
    const { page, metrics, shown } = await follow("restarted");
    const before = await shown();
    const port = Number(new URL(serving.url).port);
    await serving.close();
    const refused = page.waitForResponse((response) => response.status() === 404, { timeout: 30_000 });
    serving = await serve({ directory: root, port });
    await refused;
    await serving.close();
    appendFileSync(metrics, lines(4));
    serving = await serve({ directory: join(root, "restarted"), port });
    await expect.poll(shown, { timeout: 30_000 }).not.toBe(before);
    await serving.close();
  }, 90_000);

  it("keeps what it shows where another run has its address", async () => {
    const { page, shown } = await follow("earlier");
    const before = await shown();
    const port = Number(new URL(serving.url).port);
    await serving.close();
    await writeSyntheticRun(join(root, "later"), run);
    serving = await serve({ directory: join(root, "later"), port });
    const response = await page.waitForResponse(/\/run\/$/, { timeout: 30_000 });
    await response.finished();
    await page.waitForTimeout(500);
    expect(await page.title()).toBe("epigrok: earlier");
    expect(await shown()).toBe(before);
  }, 60_000);
});
