/** The page in a real browser: it trains to the same bytes as the command line, and its buttons do what they say. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { unzipSync } from "fflate";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, it } from "vitest";
import { fileLayer } from "../src/config/load.ts";
import { resolveConfig } from "../src/config/resolve.ts";
import { runDiagnosis } from "../src/diagnosis/diagnose.ts";
import { readPredictions } from "../src/diagnosis/files.ts";
import { diagnosisWords } from "../src/diagnosis/words.ts";
import { decodeSafetensors, readRun, runEnsemble, writeReport } from "../src/index.ts";
import { formatTime } from "../src/report/theory/times-table.ts";
import { epigrok } from "./fixtures/cli.ts";
import { expectNoSideways, noBrowser, type Site, startSite, violations } from "./fixtures/site.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

/** 200 steps of three small members. */
const MINIATURE = new URLSearchParams({
  math: "strict",
  seed: "5",
  "task.modulus": "17",
  "task.trainTasks": "12",
  "task.promptPool": "512",
  "model.dModel": "32",
  "model.nHeads": "2",
  "model.dMlp": "64",
  "training.steps": "200",
  "training.batchSize": "256",
  "evaluation.every": "40",
  "evaluation.prompts": "64",
  "ensemble.members": "3",
});
const miniature = (changes: Record<string, string> = {}) => {
  const all = new URLSearchParams(MINIATURE);
  for (const [key, value] of Object.entries(changes)) all.set(key, value);
  return `#${all}`;
};

const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });
const progress = (page: Page) => page.locator("#progress-text").textContent();
const reach = (page: Page, text: string | RegExp) =>
  page.locator("#progress-text").filter({ hasText: text }).waitFor({ timeout: 20_000 });

/** What is in the archive that a button saves. */
async function saved(page: Page, name: string): Promise<Record<string, Uint8Array>> {
  return unzipSync(await savedBytes(page, name));
}

async function savedBytes(page: Page, name: string): Promise<Buffer> {
  const [download] = await Promise.all([page.waitForEvent("download"), button(page, name).click()]);
  return readFileSync(await download.path());
}

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

/** The shape in the header of an .npy file, and its numbers. */
function decodeNpy(bytes: Uint8Array): { shape: number[]; data: Float32Array | Int32Array } {
  const buffer = Buffer.from(bytes);
  const begin = 10 + buffer.readUInt16LE(8);
  const header = buffer.toString("latin1", 10, begin);
  const numbers = new Uint8Array(buffer.subarray(begin)).buffer;
  return {
    shape: JSON.parse(`[${/'shape': \(([\d, ]*?),?\)/.exec(header)![1]}]`),
    data: header.includes("<i4") ? new Int32Array(numbers) : new Float32Array(numbers),
  };
}

describe.skipIf(noBrowser !== null)(noBrowser ? `the page (left out: ${noBrowser})` : "the page", () => {
  const root = temporaryDirectory();
  let site: Site;
  beforeAll(async () => {
    site = await startSite();
  });

  it("is at most 300 kB as it is sent", () => {
    const sizes = readdirSync(site.folder).map(
      (name) => gzipSync(readFileSync(join(site.folder, name))).length,
    );
    expect(sizes.reduce((sum, size) => sum + size)).toBeLessThan(300_000);
  });

  it("trains to the bytes of the command line, without the network, however it is paused and stepped", async () => {
    const { page, context, complaints } = await site.open(miniature());
    await context.setOffline(true);
    await button(page, "Step").click();
    await reach(page, "Paused: step 0");
    await button(page, "Step").click();
    await reach(page, "Paused: step 40");
    await page.getByLabel("Speed").selectOption("a tenth");
    await button(page, "Resume").click();
    await reach(page, /Training: step (4[1-9]|[5-9]\d|1\d\d)/);
    await button(page, "Pause").click();
    await reach(page, "Paused");
    const paused = await progress(page);
    await page.waitForTimeout(300);
    expect(await progress(page)).toBe(paused);
    await page.getByLabel("Speed").selectOption("full");
    await button(page, "Resume").click();
    await reach(page, "Finished: step 200 of 200");
    const inPage = await saved(page, "Save the run");
    const {
      "predictions.npy": predictions,
      "steps.npy": steps,
      ...others
    } = await saved(page, "Save its predictions");

    const file = join(root, "run.yaml");
    writeFileSync(file, (await page.locator("#yaml").textContent()) ?? "");
    const out = join(root, "run");
    await runEnsemble(resolveConfig([fileLayer(file)]), { out, workers: 2 });
    for (const name of ["metrics.jsonl", "answers.jsonl"])
      expect(text(inPage[`epigrok-run/${name}`])).toBe(readFileSync(join(out, name), "utf8"));

    const copy = join(root, "copy");
    mkdirSync(copy);
    for (const [name, bytes] of Object.entries(inPage))
      writeFileSync(join(copy, name.replace("epigrok-run/", "")), bytes);
    const [opened, original] = [await readRun(copy), await readRun(out)];
    expect(opened.detector).toEqual(original.detector);
    expect(opened.summary?.verdict).toBe(original.summary?.verdict);
    expect(readFileSync(await writeReport([copy]), "utf8")).toContain("The answers, question by question");

    expect(Object.keys(others).sort()).toEqual(
      ["cycle", "cycleLabels", "seen", "seenLabels", "unseenLabels"].map((name) => `${name}.npy`),
    );
    expect([...decodeNpy(steps).data]).toEqual([0, 40, 80, 120, 160, 200]);
    const { shape, data } = decodeNpy(predictions);
    expect(shape).toEqual([6, 3, 64, 17]);
    const { tensors } = decodeSafetensors(
      readFileSync(join(out, "predictions", "step-00000200.safetensors")),
    );
    const last = (5 * data.length) / 6;
    expect(data.slice(last)).toEqual(tensors.get("unseenTasks")!.data);
    expect(decodeNpy(others["cycle.npy"]).data.slice(last)).toEqual(tensors.get("unseenTasksCycle")!.data);

    await page.locator("#drop-file").setInputFiles({
      ...{ name: "predictions.npz", mimeType: "application/zip" },
      buffer: Buffer.from(await savedBytes(page, "Save its predictions")),
    });
    await expect
      .poll(() => page.locator("#drop-words").textContent())
      .toMatch(/^At step 200: \w+, with prob/);
    const told = await page.locator("#drop-words").textContent();
    const npz = join(root, "predictions.npz");
    writeFileSync(npz, await savedBytes(page, "Save its predictions"));
    const read = await readPredictions(npz);
    expect(told).toBe(diagnosisWords(runDiagnosis(read).result));
    await page.locator("#drop-file").setInputFiles({
      ...{ name: "broken.npz", mimeType: "application/zip", buffer: Buffer.from("PK, but no more") },
    });
    await expect
      .poll(() => page.locator("#drop-problem").textContent())
      .toMatch(/^broken\.npz: not a valid npz archive/);

    await button(page, "Run again").click();
    await reach(page, "Finished: step 200 of 200");
    expect((await saved(page, "Save the run"))["epigrok-run/metrics.jsonl"]).toEqual(
      inPage["epigrok-run/metrics.jsonl"],
    );
    expect(complaints).toEqual([]);
    await context.close();
  });

  it("shows the run in words and numbers, on a phone as well, for those who cannot see it, in both schemes", async () => {
    const { page, context, complaints } = await site.open(miniature(), {
      viewport: { width: 390, height: 844 },
    });
    expect(await violations(page)).toEqual([]);
    await button(page, "Start").click();
    await reach(page, "Finished");
    await expect.poll(() => page.locator("#headline").textContent()).toMatch(/\.$/);
    expect(await page.locator("#detector li").count()).toBeGreaterThan(0);
    expect(await page.locator("#numbers tbody tr").count()).toBe(6);
    expect(await page.locator("#answers svg").count()).toBe(3);
    expect(await page.locator("#accuracy .chart").getAttribute("aria-label")).toMatch(
      /at step 200 of 200: pool [\d.]+.%, fresh [\d.]+.%, unseen [\d.]+.%\.$/,
    );
    await page.getByText("Numbers of every evaluation").click();
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      expect(await violations(page)).toEqual([]);
    }
    await expectNoSideways(page);
    expect(complaints).toEqual([]);
    await context.close();
  });

  it("pauses while nobody sees it, and goes on when it is seen again", async () => {
    const { page, context, complaints } = await site.open(miniature({ "training.steps": "100000" }));
    const hide = (hidden: boolean) =>
      page.evaluate((value) => {
        Object.defineProperty(document, "hidden", { get: () => value, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, hidden);
    await button(page, "Start").click();
    await reach(page, "Training");
    await hide(true);
    await reach(page, "Paused while hidden");
    await hide(false);
    await reach(page, "Training");
    // Hidden so shortly that the pause comes about when it is seen again.
    await page.evaluate(() => {
      for (const value of [true, false]) {
        Object.defineProperty(document, "hidden", { get: () => value, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }
    });
    await page.waitForTimeout(500);
    expect(await progress(page)).toMatch(/^Training/);
    expect(complaints).toEqual([]);
    await context.close();
  });

  it("keeps its settings in the link, says what is not allowed, and restarts with what has changed", async () => {
    const { page, context, complaints } = await site.open(miniature({ "training.steps": "100000" }));
    const field = (name: string) => page.locator(`[name="${name}"]`);
    await expect.poll(() => field("task.trainTasks").inputValue()).toBe("12");
    expect(await page.locator("#others").textContent()).toContain("model.dModel = 32");
    // Two clicks before the core is there are one run.
    await button(page, "Start").evaluate((start: HTMLElement) => {
      start.click();
      start.click();
    });
    await reach(page, "Training");
    const cores = await page.evaluate(() => navigator.hardwareConcurrency);
    expect(page.workers()).toHaveLength(Math.min(3, cores));

    await field("ensemble.members").fill("2");
    await field("ensemble.members").blur();
    expect(page.url()).toContain("ensemble.members=2");
    expect(await page.getByText("Restart begins with what has changed").isVisible()).toBe(true);
    await button(page, "Restart").click();
    await reach(page, cores > 1 ? "on 2 workers" : "on 1 worker");
    expect(await page.getByText("Restart begins with what has changed").isVisible()).toBe(false);

    await field("task.trainTasks").fill("40");
    await field("task.trainTasks").blur();
    expect(await page.getByRole("alert").textContent()).toMatch(
      /^task\.trainTasks: got 40 from the form, must be/,
    );
    expect(await field("task.trainTasks").getAttribute("aria-invalid")).toBe("true");
    expect(await button(page, "Restart").isDisabled()).toBe(true);
    await field("task.trainTasks").fill("11");
    await field("task.trainTasks").blur();
    expect(await page.getByRole("alert").isVisible()).toBe(false);

    await field("task.modulus").selectOption("23");
    expect(await field("task.trainTasks").inputValue()).toBe("15");
    await page.reload();
    expect(await field("task.modulus").inputValue()).toBe("23");
    expect(complaints).toEqual([]);
    await context.close();
  });

  it("says when a run is too large for it, and why it cannot be saved where there are no checksums", async () => {
    const { page, context, complaints } = await site.open(miniature({ "model.dMlp": "200000" }));
    expect(await page.locator("#no-saving").isVisible()).toBe(false);
    await button(page, "Start").click();
    await page.getByRole("alert").filter({ hasText: "MiB of memory, and a page has 2048 MiB" }).waitFor();
    await context.addInitScript(() => {
      Object.defineProperty(Crypto.prototype, "subtle", { get: () => undefined });
    });
    await page.goto("about:blank");
    await page.goBack({ waitUntil: "networkidle" });
    expect(await page.locator("#no-saving").textContent()).toMatch(/plain http from another machine/);
    expect(await page.locator("#no-saving").isVisible()).toBe(true);
    expect(complaints).toEqual([]);
    await context.close();
  });

  it("draws the linear model again while a slider moves, with its times in words", async () => {
    const { page, context, complaints } = await site.open(miniature(), {
      viewport: { width: 390, height: 844 },
    });
    const chart = page.locator("#theory-errors .chart");
    await chart.scrollIntoViewIfNeeded();
    await expect.poll(() => chart.getAttribute("aria-label")).toMatch(/t train [\d.]+, t peak [\d.]+, t gen/);
    const before = await chart.getAttribute("aria-label");
    const slider = page.getByLabel("λ = d/N");
    await slider.focus();
    await slider.press("ArrowRight");
    await expect.poll(() => page.locator("#theory-lambda").textContent()).toBe("0.910");
    await expect.poll(() => chart.getAttribute("aria-label")).not.toBe(before);
    const said = (text: string) => new RegExp(`^${text}([\\d.e+]+|∞)`);
    const shown = async () => {
      const [command, times] = await Promise.all([
        page.locator("#theory-command").textContent(),
        page.locator("#theory-times > div").allTextContents(),
      ]);
      const [tTrain, tGen, tU] = ["t train", "t gen", "t U"].map(
        (name) => times.map((text) => said(name).exec(text)?.[1]).find(Boolean)!,
      );
      return { command: command!, times: { tTrain, tGen, tU } };
    };
    /** What the command that the page shows says. */
    const repeated = async (command: string) => {
      const [program, ...args] = command.replace("npx ", "").split(" ");
      expect(program).toBe("epigrok");
      const { code, stdout } = await epigrok([...args, "--out", join(root, "theory"), "--json"]);
      expect(code).toBe(0);
      return JSON.parse(stdout).times;
    };
    const written = (times: Record<string, number | "Infinity">) =>
      Object.fromEntries(["tTrain", "tGen", "tU"].map((name) => [name, formatTime(Number(times[name]))]));
    await page.getByLabel("label noise:").fill("-3.15");
    await expect
      .poll(async () => (await shown()).command)
      .toContain("--lambda 0.91 --noise residual --label-noise 0.000708");
    const residual = await shown();
    const { tTrain, tGen, residual: own } = await repeated(residual.command);
    expect(written({ tTrain, tGen, tU: own.tU })).toEqual(residual.times);

    await page.getByLabel("likelihood noise").selectOption("fixed");
    await expect.poll(() => chart.getAttribute("aria-label")).not.toMatch(/t peak/);
    const fixed = await shown();
    expect(written((await repeated(fixed.command)).fixed)).toEqual(fixed.times);
    expect(await violations(page)).toEqual([]);
    await expectNoSideways(page);
    expect(complaints).toEqual([]);
    await context.close();
  });

  it("refuses a link with an unknown setting, and leaves something to begin with", async () => {
    const { page, context } = await site.open("#task.moduluss=23");
    expect(await page.getByRole("alert").textContent()).toBe(
      'the link: unknown key "task.moduluss"; did you mean "task.modulus"?',
    );
    expect(await page.locator('[name="task.modulus"]').inputValue()).toBe("29");
    expect(await button(page, "Start").isDisabled()).toBe(true);
    await context.close();
  });
});
