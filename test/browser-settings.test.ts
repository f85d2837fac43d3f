/** Settings of the page as a link, a command and a file; what the detector's log says; the pool of Web Workers. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { unzipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { remarkOn } from "../src/browser/detector-log.ts";
import { KeptPredictions } from "../src/browser/kept-predictions.ts";
import type { FromWorker, ToWorker } from "../src/browser/messages.ts";
import { Rate } from "../src/browser/rate.ts";
import {
  configOf,
  FIRST,
  fromHash,
  MOST,
  type Settings,
  settingsOf,
  toCommand,
  toHash,
  toYaml,
  withSetting,
} from "../src/browser/settings.ts";
import { WebWorkers } from "../src/browser/workers.ts";
import { fileLayer, overrideLayer } from "../src/config/load.ts";
import { presetLayer } from "../src/config/presets.ts";
import { resolveConfig } from "../src/config/resolve.ts";
import type { CoreModule } from "../src/core/module.ts";
import { encodeNpz } from "../src/diagnosis/npz.ts";
import type { SegmentRequest, SegmentResult } from "../src/training/messages.ts";
import { type DetectorState, detectGrokking } from "../src/uncertainty/detector.ts";
import type { UncertaintyObservation } from "../src/uncertainty/observation.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();

const SETTINGS: Settings = new Map<string, unknown>([
  ["seed", 7],
  ["task.modulus", 23],
  ["task.trainTasks", 17],
  ["training.weightDecayExclude", ["layerNorm", "embeddings"]],
  ["training.weightDecay", 0.5],
  ["model.tiedEmbeddings", true],
  ["model.actFn", "gelu"],
  ["evaluation.every", 50],
]);

describe("settings of the page", () => {
  it.each([
    ["those the page begins with", FIRST],
    ["others", SETTINGS],
  ])("%s go through a link, a command and a file", (_, settings) => {
    const config = configOf(settings, "the test");
    expect(configOf(fromHash(`#${toHash(settingsOf(config))}`), "the link")).toEqual(config);

    const file = join(root, "settings.yaml");
    writeFileSync(file, toYaml(settings));
    expect(resolveConfig([fileLayer(file)])).toEqual(config);

    const words = toCommand(settings)
      .split(" ")
      .map((word) => word.replaceAll("'", ""));
    expect(words.slice(0, 3)).toEqual(["npx", "epigrok", "run"]);
    const { values } = parseArgs({
      args: words.slice(3),
      options: { preset: { type: "string" }, set: { type: "string", multiple: true } },
    });
    const layers = [presetLayer(values.preset!), ...(values.set ?? []).map((each) => overrideLayer(each))];
    expect(resolveConfig(layers)).toEqual(config);
  });

  it("begins with a run that keeps its answer table at every evaluation", () => {
    expect(fromHash("")).toBe(FIRST);
    expect(configOf(FIRST, "the page").training.steps).toBe(FIRST.get("training.steps"));
  });

  it("has the bounds of the form", () => {
    const html = readFileSync("src/browser/page.html", "utf8");
    expect(/name="ensemble.members"[^>]* max="(\d+)"/.exec(html)?.[1]).toBe(`${MOST["ensemble.members"]}`);
    const moduli = /name="task.modulus"[^>]*>([\s\S]*?)<\/select>/.exec(html)![1].matchAll(/<option>(\d+)/g);
    expect(Math.max(...Array.from(moduli, ([, modulus]) => Number(modulus)))).toBe(MOST["task.modulus"]);
  });

  it("leaves out what is as by default", () => {
    expect([...withSetting(SETTINGS, "seed", 0).keys()]).not.toContain("seed");
    expect(withSetting(SETTINGS, "seed", 8).get("seed")).toBe(8);
  });

  it("names the link, the setting and what is allowed", () => {
    expect(() => configOf(fromHash("#task.trainTasks=99"), "the link")).toThrow(
      /^task\.trainTasks: got 99 from the link, must be /,
    );
    expect(() => configOf(fromHash("#ensemble.members=100000&task.modulus=1000003"), "the link")).toThrow(
      "ensemble.members: got 100000 from the link, must be at most 16 in a page\n" +
        "task.modulus: got 1000003 from the link, must be at most 41 in a page",
    );
    expect(() => configOf(fromHash("#__proto__.x=1"), "the link")).toThrow(/^the link: unknown key/);
    expect(() => configOf(fromHash("#model.initFrom=runs/a"), "the link")).toThrow(/a page has no files$/);
  });
});

const CLASSES = 29;
const observed = (information: number[]): UncertaintyObservation[] =>
  information.map((mutualInformation, i) => ({
    ...{ step: 50 * i, members: 4, classes: CLASSES, mutualInformation },
    ...{ expectedEntropy: 0.2, totalEntropy: 0.2 + mutualInformation, disagreement: mutualInformation / 2 },
  }));

it("logs what the detector says when it changes its mind, and nothing in between", () => {
  const trajectory = observed([0, 0.4, 0.7, 0.75, 0.7, 0.72, 0.7, 0.1, 0.1, 0.1, 0.05]);
  const remarks = [];
  let before: DetectorState | null = null;
  for (let end = 1; end <= trajectory.length; end++) {
    const now = detectGrokking(trajectory.slice(0, end));
    const remark = remarkOn(before, now);
    if (remark) remarks.push(remark);
    before = now;
  }
  expect(remarks).toEqual([
    { step: 0, text: "the members diverge (mutual information 0.00 nats)" },
    { step: 300, text: "uncertainty has peaked, at step 150 with 0.75 nats; no collapse" },
    {
      step: 450,
      text: "uncertainty has collapsed, since step 350: the members came to agree (confidence high)",
    },
  ]);
});

it("tells tokens a second of the last seconds only", () => {
  let now = 0;
  const rate = new Rate(() => now);
  expect(rate.perSecond).toBeNull();
  for (; now < 1000; now += 100) rate.add(50);
  expect(rate.perSecond).toBeCloseTo(450, 0);
  now = 60_000;
  expect(rate.perSecond).toBeNull();
});

class FakeWorker {
  readonly received: ToWorker[] = [];
  onmessage: ((event: { data: FromWorker }) => void) | null = null;
  onerror: ((event: { message: string }) => void) | null = null;
  terminated = false;
  postMessage(message: ToWorker) {
    this.received.push(message);
  }
  terminate() {
    this.terminated = true;
  }
  kinds() {
    return this.received.map(({ kind }) => kind);
  }
}

function fakes(count: number) {
  const started: FakeWorker[] = [];
  const workers = new WebWorkers({
    count,
    core: {} as CoreModule,
    start: () => {
      const worker = new FakeWorker();
      started.push(worker);
      return worker as unknown as Worker;
    },
    progress: () => {},
  });
  const busy = () => started.filter((each) => !each.terminated && each.kinds().at(-1) === "segment");
  return { workers, started, busy };
}

const request = { member: 0 } as SegmentRequest;

describe("Web Workers", () => {
  it("replaces one that dies, whose segment fails by its message", async () => {
    const { workers, started, busy } = fakes(1);
    const lost = workers.runSegment(request);
    busy()[0].onerror?.({ message: "out of memory" });
    await expect(lost).rejects.toThrow("a worker died: out of memory");
    expect(started[0].terminated).toBe(true);
    const again = workers.runSegment(request);
    expect(started).toHaveLength(2);
    const result = { member: 0 } as SegmentResult;
    busy()[0].onmessage?.({ data: { kind: "done", result } });
    expect(await again).toBe(result);
  });

  it("stops those that are busy, tells all their share, and rejects what is under way when it ends", async () => {
    const { workers, started } = fakes(2);
    const running = workers.runSegment(request);
    workers.stop();
    expect(workers.stopped).toBe(true);
    expect(started.map((each) => each.kinds().includes("stop")).sort()).toEqual([false, true]);
    workers.setShare(0.5);
    expect(started.every((each) => each.kinds().at(-1) === "share")).toBe(true);
    workers.resume();
    expect(workers.stopped).toBe(false);
    workers.close();
    await expect(running).rejects.toThrow("the workers were ended");
    expect(started.every(({ terminated }) => terminated)).toBe(true);
  });
});

describe("predictions that are kept for a notebook", () => {
  it("are arrays of NumPy whose numbers begin at a multiple of 64", () => {
    const archive = unzipSync(encodeNpz({ a: { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) } }));
    const bytes = Buffer.from(archive["a.npy"]);
    const length = bytes.readUInt16LE(8);
    expect(bytes.subarray(0, 8)).toEqual(Buffer.from("\x93NUMPY\x01\x00", "latin1"));
    expect((10 + length) % 64).toBe(0);
    expect(bytes.toString("latin1", 10, 10 + length).trimEnd()).toBe(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2,), }",
    );
    expect(new Float32Array(new Uint8Array(bytes.subarray(10 + length)).buffer)).toEqual(
      Float32Array.of(1, 2, 3, 4),
    );
  });

  it("leave out evaluations that lack a member", () => {
    const kept = new KeptPredictions(2, { positions: 2, classes: 2 });
    const part = (member: number, p: number) => ({
      ...{ member, step: 0, tokens: 0, loss: 0, gradientNorm: 0 },
      predictions: (["unseenTasks", "seenTasks"] as const).map((set) => ({
        set,
        probabilities: Float32Array.of(0.5, 0.5, p, 1 - p),
        ...(set === "unseenTasks" && { cycle: Float32Array.of(1 - p, p) }),
      })),
    });
    kept.add(0, [part(0, 0.25), part(1, 0.75)]);
    kept.add(50, [part(0, 0.25)]);
    const labels = Int32Array.of(1);
    const archive = unzipSync(kept.npz({ cycleLabels: labels, seenLabels: labels, unseenLabels: labels }));
    const numbers = (name: string) => {
      const bytes = archive[name];
      return new Float32Array(bytes.slice(10 + Buffer.from(bytes).readUInt16LE(8)).buffer);
    };
    expect(numbers("predictions.npy")).toEqual(Float32Array.of(0.25, 0.75, 0.75, 0.25));
    expect(Buffer.from(archive["predictions.npy"]).toString("latin1")).toContain("(1, 2, 1, 2,)");
    expect(numbers("cycle.npy")).toEqual(Float32Array.of(0.75, 0.25, 0.25, 0.75));
  });

  it("have no prompts asked back where a prompt has one example", () => {
    const kept = new KeptPredictions(1, { positions: 1, classes: 2 });
    const predictions = (["unseenTasks", "seenTasks"] as const).map((set) => ({
      set,
      probabilities: Float32Array.of(0.5, 0.5),
    }));
    kept.add(0, [{ member: 0, step: 0, tokens: 0, loss: 0, gradientNorm: 0, predictions }]);
    const [none, labels] = [new Int32Array(), Int32Array.of(1)];
    const archive = unzipSync(kept.npz({ cycleLabels: none, seenLabels: labels, unseenLabels: labels }));
    expect(Object.keys(archive).sort()).toEqual(
      ["predictions", "seen", "seenLabels", "steps", "unseenLabels"].map((name) => `${name}.npy`),
    );
  });
});
