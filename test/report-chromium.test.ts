/** The report in a real browser: it loads without complaint, is legible on a phone, and needs its slider for nothing. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { escapeHtml } from "../src/report/html.ts";
import { writeReport } from "../src/report/report.ts";
import { syntheticRun, writeSyntheticRun } from "./fixtures/synthetic-run.ts";

const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
const skipped = process.env.EPIGROK_NO_BROWSER === "1";

/** Loads a page with networking cut off and returns its DOM and what it wrote to the console. */
async function load(path: string, ...flags: string[]): Promise<{ dom: string; messages: string[] }> {
  const profile = await mkdtemp(join(tmpdir(), "epigrok-chromium-"));
  try {
    const { stdout, stderr } = await promisify(execFile)(
      chromium,
      [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        `--user-data-dir=${profile}`,
        "--enable-logging=stderr",
        "--window-size=1200,1600",
        "--hide-scrollbars",
        ...flags,
        "--dump-dom",
        pathToFileURL(path).href,
      ],
      { maxBuffer: 64 << 20, timeout: 50_000 },
    );
    return { dom: stdout, messages: stderr.split("\n").filter((line) => line.includes("CONSOLE")) };
  } finally {
    await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

/** Runs in the browser, inside a page that shows the report in a frame of a given width. */
const probe = `
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {
  const page = frame.contentDocument;
  const shown = (element) => element.getClientRects().length > 0;
  const report = { scrollWidth: page.documentElement.scrollWidth, clipped: [], overlapping: [], axes: {}, frames: [] };
  const slider = page.querySelector(".player input");
  for (const value of [0, 3, slider.max]) {
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
    report.frames.push([...page.querySelectorAll(".player .frame")].findIndex(shown));
    report.frames.push([...page.querySelectorAll(".player .frame")].filter(shown).length);
  }
  report.frames.push([...page.querySelectorAll(".strip .frame")].filter(shown).length);
  for (const axis of ["linear", "log"]) {
    page.getElementById("axis-" + axis).click();
    report.axes[axis] = ["linear", "log"].filter((kind) => [...page.querySelectorAll(".axis-" + kind)].some(shown));
    for (const svg of [...page.querySelectorAll("figure svg")].filter(shown)) {
      const outer = svg.getBoundingClientRect();
      const texts = [...svg.querySelectorAll("text")].map((text) => ({ text: text.textContent, box: text.getBoundingClientRect() }));
      const where = svg.closest("figure").id + " " + axis + ": ";
      texts.forEach((a, i) => {
        if (a.box.left < outer.left - 1 || a.box.right > outer.right + 1 || a.box.top < outer.top - 1 || a.box.bottom > outer.bottom + 1)
          report.clipped.push(where + a.text);
        for (const b of texts.slice(i + 1)) {
          const width = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
          const height = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
          // A line box is taller than its letters: the leading may touch.
          if (width > 1 && height > 0.3 * Math.min(a.box.height, b.box.height)) report.overlapping.push(where + a.text + " / " + b.text);
        }
      });
    }
  }
  document.getElementById("result").textContent = JSON.stringify(report);
});
frame.srcdoc = document.getElementById("source").value;
`;

describe.skipIf(skipped)("report in Chromium", () => {
  let scratch: string;
  let report: string;
  beforeAll(async () => {
    if (!existsSync(chromium)) {
      throw new Error(
        `no Chromium at ${chromium}: install it, set CHROMIUM to its path, or set EPIGROK_NO_BROWSER=1 to leave these tests out`,
      );
    }
    scratch = await mkdtemp(join(tmpdir(), "epigrok-browser-"));
    const run = syntheticRun({
      config: {
        training: { steps: 100000 },
        task: { modulus: 29, variables: 2, trainTasks: 512, examples: 16, inputFraction: 0.8 },
        ensemble: { members: 8 },
      },
    });
    report = await writeReport([await writeSyntheticRun(join(scratch, "run"), run)]);
  });
  afterAll(() => scratch && rm(scratch, { recursive: true, force: true }));

  it("shows every picture with the network and other scripts forbidden, and writes nothing to the console", async () => {
    const { dom, messages } = await load(report);
    expect(messages).toEqual([]);
    expect(dom).toContain("default-src 'none'");
    expect(dom.match(/<figure id/g)).toHaveLength(16);
    expect(dom.match(/<svg [^>]*role="img" viewBox/g)).toHaveLength(15 * 2 + 1);
    expect(dom.trimEnd()).toMatch(/<\/html>$/);
  });

  it("hides the slider, and shows the frames named after the events, where scripts do not run", async () => {
    const page = join(scratch, "static.html");
    const html = await readFile(report, "utf8");
    await writeFile(page, html.replace(/<script>[^<]*<\/script>/, ""));
    const { dom } = await load(page);
    expect(dom).toContain('<div class="player" hidden="">');
    const strip = dom.slice(dom.indexOf('<div class="strip">'), dom.indexOf('<div class="player"'));
    expect(strip.match(/<figcaption>/g)).toHaveLength(5);
  });

  it("would complain about a script or a fetched file in the report", async () => {
    const page = join(scratch, "tainted.html");
    const tainted = (await readFile(report, "utf8")).replace(
      "</main>",
      '<script>document.title = "ran"</script><img src="picture.png" alt=""></main>',
    );
    await writeFile(page, tainted);
    const { dom, messages } = await load(page);
    expect(dom).not.toContain("<title>ran</title>");
    expect(messages.join("\n")).toMatch(/inline script/);
    expect(messages.join("\n")).toMatch(/picture\.png/);
  });

  it.each([360, 390, 1120])("is legible at a width of %i pixels, on either step axis", async (width) => {
    const page = join(scratch, `frame-${width}.html`);
    const source = escapeHtml(await readFile(report, "utf8"));
    await writeFile(
      page,
      `<!doctype html><meta charset="utf-8"><textarea id="source" hidden>${source}</textarea>
<iframe style="border:0;width:${width}px;height:900px"></iframe><pre id="result"></pre><script>${probe}</script>`,
    );
    const { dom, messages } = await load(page);
    expect(messages).toEqual([]);
    const { frames, ...result } = JSON.parse(/<pre id="result">([^<]*)<\/pre>/.exec(dom)![1]);
    const last = Number(/max=&quot;(\d+)&quot;/.exec(source)![1]);
    expect(frames).toEqual([0, 1, 3, 1, last, 1, 5]);
    expect(result).toEqual({
      scrollWidth: width,
      clipped: [],
      overlapping: [],
      axes: { linear: ["linear"], log: ["log"] },
    });
  });
});
