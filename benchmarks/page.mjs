/**
 * How fast the page trains beside the command line, both 128 bits wide: tokens a second of each worker between the first
 * evaluation and the last, with one worker and with as many as there are cores. And how long after Start the run that the
 * page proposes has grokked.
 *
 *   node benchmarks/page.mjs [--steps 600] [--rounds 3]     after npm run build and npm run site; needs Chromium
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { unzipSync } from "fflate";
import { chromium } from "playwright-core";
import { serve } from "../dist/serve/server.js";

const PAGE_OVER_COMMAND_LINE = 0.85;
const SECONDS_TO_GROK = 60;

const { values } = parseArgs({
  options: { steps: { type: "string", default: "600" }, rounds: { type: "string", default: "3" } },
});
const cli = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "epigrok-bench-"));
let count = 0;

/** Of the preset quick, a run whose members have a worker each. */
const settings = (workers) => ({
  "training.steps": values.steps,
  "evaluation.every": "50",
  "ensemble.members": String(workers),
});

/** Tokens a second of each worker, from the text of timing.jsonl. */
function rateOf(timing, workers) {
  const records = timing
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  const [first, last] = [records[0], records.at(-1)];
  return (last.tokens - first.tokens) / (last.seconds - first.seconds) / workers;
}

function onCommandLine(workers) {
  const out = join(scratch, `run-${count++}`);
  const set = Object.entries(settings(workers)).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
  const args = [
    "run",
    "--preset",
    "quick",
    ...set,
    "--simd",
    "128",
    "--workers",
    String(workers),
    "--out",
    out,
  ];
  const { status, stderr } = spawnSync(process.execPath, [cli, ...args, "--quiet", "--no-posterior"], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`epigrok ${args.join(" ")} failed:\n${stderr}`);
  const { math } = JSON.parse(readFileSync(join(out, "environment.json"), "utf8"));
  return { math, rate: rateOf(readFileSync(join(out, "timing.jsonl"), "utf8"), workers) };
}

/** Trains in the page. @returns the text of a file of the run that it saves */
async function trainedInPage(browser, address) {
  const page = await browser.newPage();
  await page.goto(address);
  const button = (name) => page.getByRole("button", { name, exact: true });
  await button("Start").click();
  await page
    .locator("#progress-text")
    .filter({ hasText: /^Finished/ })
    .waitFor({ timeout: 600_000 });
  const [download] = await Promise.all([page.waitForEvent("download"), button("Save the run").click()]);
  const files = unzipSync(readFileSync(await download.path()));
  await page.close();
  return (name) => Buffer.from(files[`epigrok-run/${name}`]).toString();
}

async function inPage(browser, url, workers) {
  const address = `${url}playground/#${new URLSearchParams(settings(workers))}`;
  const textOf = await trainedInPage(browser, address);
  return { math: JSON.parse(textOf("environment.json")).math, rate: rateOf(textOf("timing.jsonl"), workers) };
}

/** Seconds from Start to the evaluations at which the median member groks and mutual information has collapsed. */
async function eventsOfProposal(browser, url) {
  const textOf = await trainedInPage(browser, `${url}playground/`);
  const { grokStep, collapseStep } = JSON.parse(textOf("summary.json"));
  const timing = textOf("timing.jsonl")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  return [grokStep, collapseStep].map((event) => timing.find(({ step }) => step === event)?.seconds);
}

const serving = await serve({ directory: scratch });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
try {
  console.log(`Node ${process.versions.node}, Chromium ${browser.version()}, ${values.steps} steps of quick`);
  for (const workers of new Set([1, availableParallelism()])) {
    const best = { page: 0, line: 0 };
    const maths = new Set();
    // In turn, so that what the machine does meanwhile falls on both.
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const [name, { math, rate }] of [
        ["line", onCommandLine(workers)],
        ["page", await inPage(browser, serving.url, workers)],
      ]) {
        best[name] = Math.max(best[name], rate);
        maths.add(math);
      }
    }
    const ratio = best.page / best.line;
    const told = Object.values(best).map((rate) => `${Math.round(rate)} tokens/s`);
    console.log(
      `${workers} ${workers === 1 ? "worker" : "workers"}, ${[...maths].join(" and ")} math, each: page ${told[0]}, command line ${told[1]}, ` +
        `ratio ${ratio.toFixed(2)} (bar >= ${PAGE_OVER_COMMAND_LINE}${ratio < PAGE_OVER_COMMAND_LINE ? ", missed" : ""})`,
    );
  }
  const [grokked, collapsed] = await eventsOfProposal(browser, serving.url);
  console.log(
    `the proposed run, ${availableParallelism()} workers: grokked after ${grokked?.toFixed(1)} s, collapsed after ${collapsed?.toFixed(1)} s ` +
      `(bar <= ${SECONDS_TO_GROK}${grokked <= SECONDS_TO_GROK ? "" : ", missed"})`,
  );
} finally {
  await browser.close();
  await serving.close();
  rmSync(scratch, { recursive: true });
}
