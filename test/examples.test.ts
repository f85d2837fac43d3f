/** The programs of examples/, run as a reader would: compiled package, one after the other, in a folder of their own. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const examples = resolve(import.meta.dirname, "../examples");
const out = join(temporaryDirectory(), "run");

const start = (name: string) =>
  execFileSync(process.execPath, [join(examples, name), out], { encoding: "utf8" });

describe("examples", () => {
  it("train.mjs trains an ensemble and plots it", () => {
    expect(start("train.mjs")).toMatch(/grok/);
    expect(readFileSync(join(out, "report.html"), "utf8")).toContain("<svg");
    expect(existsSync(join(out, "figures", "accuracy.svg"))).toBe(true);
  }, 120_000);

  it("laplace.mjs fits a posterior to the last checkpoint", () => {
    expect(start("laplace.mjs")).toMatch(/unseenTasks: accuracy \d\.\d\d, \d\.\d{3} nats epistemic/);
  });

  it("exact.mjs compares the model with exact predictors", () => {
    const lines = start("exact.mjs");
    expect(lines).toContain("1 task(s) fit the context");
    expect(lines).toMatch(/unseenTasks: \d\.\d{3} from M, \d\.\d{3} from G/);
  });

  it("are all run here, and short", () => {
    const programs = readdirSync(examples).filter((name) => name.endsWith(".mjs"));
    expect(programs.sort()).toEqual(["exact.mjs", "laplace.mjs", "train.mjs"]);
    const lengths = programs.map((name) => readFileSync(join(examples, name), "utf8").split("\n").length);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(40);
  });
});
