/**
 * A run whose files are damaged, lost, of another run or of another moment: it ends with the bytes of an undisturbed one,
 * or is refused. Nothing of it is taken for what it is not.
 */
import {
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { Config } from "../src/config/schema.ts";
import { UsageError } from "../src/errors.ts";
import { MissingFileError } from "../src/run/errors.ts";
import { readMetrics } from "../src/run/read.ts";
import { type RunOptions, runEnsemble } from "../src/run/run.ts";
import { type FakeOptions, fakeConfig, fakePool } from "./fixtures/fake-trainer.ts";
import { fileHashes, resultHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
let count = 0;
const fresh = () => join(root, `run-${count++}`);
const native = (path: string) => join(...path.split("/"));

const evaluation = { every: 2, savePredictions: "all" };
const config = fakeConfig(3, { evaluation, checkpoints: { keep: 5 } });

interface Settings extends Partial<RunOptions> {
  fake?: FakeOptions;
}

const run = (out: string, { fake, ...options }: Settings = {}, settings: Config = config) =>
  runEnsemble(settings, { workers: 2, ...options, out, createPool: () => fakePool(undefined, fake) });

/** A run stopped so many training steps (of all members) after its beginning. */
async function interrupted(steps: number, settings = config): Promise<string> {
  const out = fresh();
  const abort = new AbortController();
  let left = steps;
  const stop = () => {
    if (--left === 0) abort.abort();
    return false;
  };
  await run(out, { signal: abort.signal, fake: { stop } }, settings);
  return out;
}

let whole: string;
let half: string;
let expected: Record<string, string>;
beforeAll(async () => {
  whole = fresh();
  await run(whole);
  expected = resultHashes(whole);
  half = await interrupted(40);
});

/** A copy of a run that something happens to. */
function copyOf(source: string, happens: (directory: string) => void): string {
  const directory = fresh();
  cpSync(source, directory, { recursive: true });
  happens(directory);
  return directory;
}

/** Resumes, and gives what was said. */
async function resumed(directory: string): Promise<string> {
  const said: string[] = [];
  const observer = { warned: (message: string) => said.push(message) };
  const { status } = await run(directory, { mode: "resume", observer });
  expect(status).toBe("finished");
  return said.join("\n");
}

const at = (name: string) => (directory: string) => join(directory, native(name));
const [metrics, summary] = ["metrics.jsonl", "summary.json"].map(at);
const state = (member: number, which = "") => at(`state/member-0${member}${which}.safetensors`);
const linesOf = (path: string) => readFileSync(path, "utf8").trimEnd().split("\n");
const writeLines = (path: string, lines: string[]) =>
  writeFileSync(path, lines.map((line) => `${line}\n`).join(""));

function flip(path: string, byte: number, bit = 0): void {
  const bytes = readFileSync(path);
  bytes[byte] ^= 1 << bit;
  writeFileSync(path, bytes);
}

const without = (directory: string, ...steps: number[]) =>
  writeLines(
    metrics(directory),
    linesOf(metrics(directory)).filter((line) => !steps.includes(JSON.parse(line).step)),
  );

describe("parts that do not go together", () => {
  const last = () => JSON.parse(linesOf(metrics(half)).at(-1)!).step as number;

  const happenings: [string, (directory: string) => void, RegExp][] = [
    [
      "the last two evaluations dropped",
      (d) => without(d, last(), last() - 2),
      /is ahead of the evaluation at step/,
    ],
    [
      "an evaluation in the middle dropped",
      (d) => without(d, 4),
      /the evaluation at step 4 is missing, while later/,
    ],
    [
      "the first evaluation dropped",
      (d) => without(d, 0),
      /the evaluation at step 0 is missing, while later/,
    ],
    ["all evaluations lost", (d) => rmSync(metrics(d)), /is ahead of the evaluation at step 0/],
    [
      "an evaluation twice",
      (d) => writeLines(metrics(d), [...linesOf(metrics(d)), linesOf(metrics(d))[1]]),
      /a second evaluation at step 2/,
    ],
    [
      "lines in another order",
      (d) => writeLines(metrics(d), linesOf(metrics(d)).reverse()),
      /metrics\.jsonl:2: out of order: step \d+ after step \d+/,
    ],
    ["a state lost", (d) => rmSync(state(1)(d)), /member-01\.safetensors: missing/],
    [
      "both states of a member lost",
      (d) => {
        for (const path of [state(1)(d), state(1, ".previous")(d)]) rmSync(path);
      },
      /member-01\.safetensors: missing/,
    ],
    [
      "all states lost",
      (d) => rmSync(join(d, "state"), { recursive: true }),
      /member-02\.safetensors: missing/,
    ],
    [
      "a checkpoint lost",
      (d) => rmSync(at("checkpoints/step-00000002/member-02.safetensors")(d)),
      /step-00000002.member-02\.safetensors: missing/,
    ],
    [
      "the checkpoints of a step lost",
      (d) => rmSync(at("checkpoints/step-00000000")(d), { recursive: true }),
      /step-00000000.config\.json: missing/,
    ],
    [
      "predictions lost",
      (d) => rmSync(at("predictions/step-00000004.safetensors")(d)),
      /step-00000004\.safetensors: missing/,
    ],
    ["a state of before", (d) => copyFileSync(state(0, ".previous")(d), state(0)(d)), /^$/],
    ["the answer tables lost", (d) => rmSync(at("answers.jsonl")(d)), /the answers at step 0 are missing/],
    ["times lost", (d) => rmSync(at("timing.jsonl")(d)), /^$/],
  ];
  it.each(happenings)("%s: the run ends as if nothing had been", async (_, happens, message) => {
    const directory = copyOf(half, happens);
    expect(await resumed(directory)).toMatch(message);
    expect(resultHashes(directory)).toEqual(expected);
    expect((await readMetrics(directory)).map(({ step }) => step)).toEqual([
      0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20,
    ]);
  });

  it("a copy of a run that is going on, with metrics of one moment and states of a later one", async () => {
    const copies: [string, number][] = [];
    let before = "";
    let done = 0;
    const observer = {
      evaluated: () => {
        if (++done % 3 === 1) before = readFileSync(metrics(out), "utf8");
        if (done % 3 !== 0) return;
        const copy = copyOf(out, (d) => {
          writeFileSync(metrics(d), before);
          rmSync(join(d, "lock"), { recursive: true });
        });
        copies.push([copy, done]);
      },
    };
    const out = fresh();
    await run(out, { observer });
    expect(copies.length).toBeGreaterThan(2);
    for (const [copy] of copies) {
      await resumed(copy);
      expect(resultHashes(copy)).toEqual(expected);
    }
  });

  it("a finished run without its last evaluations is finished again", async () => {
    const directory = copyOf(whole, (d) => without(d, 18, 20));
    expect(await resumed(directory)).toMatch(/is ahead of the evaluation at step 18/);
    expect(resultHashes(directory)).toEqual(expected);
    expect(existsSync(join(directory, "set-aside", "summary.json"))).toBe(true);
  });

  it("a finished run without its last answer table gets it again", async () => {
    const answers = at("answers.jsonl");
    const directory = copyOf(whole, (d) => writeLines(answers(d), linesOf(answers(d)).slice(0, -1)));
    expect(await resumed(directory)).toMatch(/the answers at step 20 are missing/);
    expect(resultHashes(directory)).toEqual(expected);
  });

  it("a finished run needs no states", async () => {
    const directory = copyOf(whole, (d) => rmSync(join(d, "state"), { recursive: true }));
    expect(await resumed(directory)).toBe("");
    expect(existsSync(join(directory, "state"))).toBe(false);
  });

  it("predictions and checkpoints that are not wanted any more are not missed", async () => {
    const directory = copyOf(half, (d) => rmSync(join(d, "predictions"), { recursive: true }));
    const none = fakeConfig(3, {
      evaluation: { every: 2, savePredictions: "none" },
      checkpoints: { keep: 5 },
    });
    const said: string[] = [];
    await run(directory, { mode: "resume", observer: { warned: (m) => said.push(m) } }, none);
    expect(said).toEqual([]);
    expect(existsSync(join(directory, "predictions"))).toBe(false);
  });
});

describe("a damaged file", () => {
  const files = () =>
    Object.keys(fileHashes(half)).filter((name) => name !== "config.json" && name !== "environment.json");

  it("of any kind, with any bit changed: it is named and set aside, and the run ends as if nothing had been", async () => {
    const kinds = new Map(files().map((name) => [name.replace(/\d+/g, "#"), name]));
    expect(kinds.size).toBeGreaterThanOrEqual(7);
    let seed = 1;
    for (const name of kinds.values()) {
      const { length } = readFileSync(join(half, name));
      for (const where of [0.1, 0.7]) {
        seed = (seed * 48271) % 2147483647;
        const directory = copyOf(half, (d) => flip(join(d, name), Math.floor(where * length), seed % 8));
        const said = await resumed(directory);
        // A state that nobody needs is not read.
        if (!name.includes("previous")) expect(said, `${name} at ${where}`).toContain(name);
        expect(resultHashes(directory), `${name} at ${where}`).toEqual(expected);
      }
    }
  });

  it("of a finished run is written again, with the same bytes", async () => {
    for (const name of [
      "checkpoints/step-00000002/member-01.safetensors",
      "checkpoints/step-00000020/config.json",
      "predictions/step-00000010.safetensors",
      "metrics.jsonl",
    ].map(native)) {
      const directory = copyOf(whole, (d) => flip(join(d, name), 300, 2));
      const said = await resumed(directory);
      expect(said).toContain(name);
      expect(said).toContain("is computed again");
      expect(resultHashes(directory)).toEqual(expected);
      expect(existsSync(join(directory, "set-aside", name))).toBe(true);
    }
  });

  it("that is cut off is noticed at every length", async () => {
    for (const name of [state(0), at("checkpoints/step-00000002/member-01.safetensors")])
      for (const length of [0, 7, 100, 1000, readFileSync(name(half)).length - 1]) {
        const directory = copyOf(half, (d) => truncateSync(name(d), length));
        expect(await resumed(directory)).toMatch(/member-0\d\.safetensors: damaged/);
        expect(resultHashes(directory)).toEqual(expected);
      }
  });

  it("with a summary that is none: it is written again", async () => {
    const { verdict } = JSON.parse(readFileSync(summary(whole), "utf8"));
    for (const content of ["", "{", "[]", "{}", '{"schema":"epigrok-run/2"}', '{"schema":"other"}']) {
      const directory = copyOf(whole, (d) => writeFileSync(summary(d), content));
      expect(await resumed(directory)).toContain("summary.json");
      expect(JSON.parse(readFileSync(summary(directory), "utf8")).verdict).toBe(verdict);
      expect(resultHashes(directory)).toEqual(expected);
    }
  });

  it("with the configuration damaged the run is refused, by the name of the file, and left alone", async () => {
    const { length } = readFileSync(join(half, "config.json"));
    for (const byte of [5, 20, 100, 400, Math.floor(length / 2), length - 30]) {
      const directory = copyOf(half, (d) => flip(join(d, "config.json"), byte, 1));
      const before = fileHashes(directory);
      const refused = run(directory, { mode: "resume" });
      await expect(refused).rejects.toBeInstanceOf(UsageError);
      await expect(refused).rejects.toThrow(/config\.json/);
      expect(fileHashes(directory)).toEqual(before);
    }
  });

  it("a member whose last state is damaged goes on from the one before, and from its beginning without that", async () => {
    const once = copyOf(half, (d) => flip(state(1)(d), 3000));
    expect(await resumed(once)).toMatch(/member 0 from step \d+, 1 from step (?!0)\d+, 2 from step \d+/);
    const twice = copyOf(half, (d) => {
      flip(state(1)(d), 3000);
      flip(state(1, ".previous")(d), 3000);
    });
    expect(await resumed(twice)).toMatch(/member 0 from step (?!0)\d+, 1 from step 0, 2 from step (?!0)\d+/);
    for (const directory of [once, twice]) expect(resultHashes(directory)).toEqual(expected);
  });
});

describe("a foreign file", () => {
  const others = {
    seed: { ...config, seed: 1 },
    rate: { ...config, training: { ...config.training, learningRate: 1e-3 } },
    model: { ...config, model: { ...config.model, dMlp: 16 } },
    members: fakeConfig(4, { evaluation, checkpoints: { keep: 5 } }),
  } satisfies Record<string, Config>;

  it.each(Object.keys(others) as (keyof typeof others)[])(
    "of a run with another %s is not taken",
    async (key) => {
      const other = await interrupted(40, others[key]);
      for (const name of [
        "state/member-00.safetensors",
        "checkpoints/step-00000002/member-00.safetensors",
        "predictions/step-00000004.safetensors",
        "metrics.jsonl",
      ].map(native)) {
        const directory = copyOf(half, (d) => copyFileSync(join(other, name), join(d, name)));
        expect(await resumed(directory), name).toContain("belongs to a run of another configuration");
        expect(resultHashes(directory), name).toEqual(expected);
      }
    },
  );

  it.each([
    ["state/member-01.safetensors", "state/member-00.safetensors", "is of member 1, not of member 0"],
    [
      "checkpoints/step-00000002/member-01.safetensors",
      "checkpoints/step-00000002/member-00.safetensors",
      "is of member 1, not of member 0",
    ],
    [
      "checkpoints/step-00000000/member-01.safetensors",
      "checkpoints/step-00000002/member-01.safetensors",
      "is of step 0, not of step 2",
    ],
    [
      "predictions/step-00000002.safetensors",
      "predictions/step-00000004.safetensors",
      "is of step 2, not of step 4",
    ],
    [
      "checkpoints/step-00000000/config.json",
      "checkpoints/step-00000002/config.json",
      "is of step 0, not of step 2",
    ],
  ])("%s in the place of %s is not taken", async (source, target, message) => {
    const directory = copyOf(half, (d) => copyFileSync(at(source)(d), at(target)(d)));
    expect(await resumed(directory)).toContain(message);
    expect(resultHashes(directory)).toEqual(expected);
  });

  it("is kept in set-aside/, one beside the other", async () => {
    const directory = copyOf(half, (d) => flip(state(1)(d), 3000));
    const damaged = readFileSync(state(1)(directory));
    const aside = join(directory, "set-aside", "state", "member-01.safetensors");
    await resumed(directory);
    expect(readFileSync(aside).equals(damaged)).toBe(true);
    expect(readdirSync(dirname(aside))).toEqual(["member-01.safetensors"]);
  });
});

it("a missing file is told from a damaged one", () => {
  expect(new MissingFileError({ directory: "r", file: "a" }).message).toBe(`${join("r", "a")}: missing`);
});
