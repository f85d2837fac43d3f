/** The settings of optimisers and posteriors: there exactly when used, and refused by name when they contradict. */
import { describe, expect, it } from "vitest";
import { environmentLayers, overrideLayer } from "../src/config/load.ts";
import { presetLayer } from "../src/config/presets.ts";
import { resolveConfig } from "../src/config/resolve.ts";
import { configSchema } from "../src/config/schema.ts";
import { UsageError } from "../src/errors.ts";

const set = (...assignments: string[]) => resolveConfig(assignments.map(overrideLayer));
function messageFrom(...assignments: string[]): string {
  try {
    set(...assignments);
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}
const IVON = "training.optimizer=ivon";

describe("training.schedule warmup-stable-decay", () => {
  const WSD = "training.schedule=warmup-stable-decay";
  const COSINE = "training.schedule=cosine";

  it("has a share of the steps, a quarter unless set, which other schedules do not have", () => {
    expect(set(WSD).training.decayFraction).toBe(0.25);
    expect(set(WSD, "training.decayFraction=0.1").training.decayFraction).toBe(0.1);
    expect(set(COSINE)).not.toHaveProperty("training.decayFraction");
    for (const given of [[IVON], []]) {
      const config = set(WSD, ...given);
      expect(JSON.stringify(configSchema.parse(config))).toBe(JSON.stringify(config));
      expect(JSON.stringify(set(WSD, "training.decayFraction=0.25", ...given))).toBe(JSON.stringify(config));
    }
  });

  it("is the only one with that share", () => {
    expect(messageFrom(COSINE, "training.decayFraction=0.3")).toBe(
      "training.decayFraction: got 0.3 from --set training.decayFraction=0.3, must be absent unless training.schedule is " +
        'warmup-stable-decay (training.schedule "cosine" from --set training.schedule=cosine)',
    );
    expect(messageFrom(WSD, "training.decayFraction=0")).toMatch(/must be > 0/);
  });
});

describe("training.optimizer ivon", () => {
  it("brings its settings and posterior samples, with defaults for what is left out", () => {
    const { training, evaluation } = set(IVON);
    expect(training.ivon).toEqual({
      effectiveSampleSize: "termsSeen",
      hessianInit: 0.001,
      beta2: 0.999,
      samples: 1,
      clipRadius: 0.02,
    });
    expect(evaluation.posteriorSamples).toBe(16);
    expect(set(IVON, "training.ivon.samples=3").training.ivon).toEqual({ ...training.ivon, samples: 3 });
    expect(set(IVON, "training.ivon.effectiveSampleSize=1e6").training.ivon?.effectiveSampleSize).toBe(1e6);
    expect(set(IVON, "evaluation.posteriorSamples=0").evaluation.posteriorSamples).toBe(0);
  });

  it("resolves to a configuration that resolves to itself, keys in order", () => {
    for (const config of [
      set(IVON),
      set(IVON, "training.ivon.samples=2", "training.steps=5", "evaluation.prompts=7"),
      set("model.dropout=0.1"),
      set(),
    ])
      expect(JSON.stringify(configSchema.parse(config))).toBe(JSON.stringify(config));
    expect(JSON.stringify(set(IVON, "training.ivon.samples=1"))).toBe(JSON.stringify(set(IVON)));
  });

  it("works on top of the presets and by environment variables", () => {
    const onTopOf = (preset: string, ...sets: string[]) =>
      resolveConfig([presetLayer(preset), ...[IVON, ...sets].map(overrideLayer)]);
    expect(onTopOf("quick").training.ivon).toBeDefined();
    // Its LayerNorms are without decay, which no prior of IVON's is.
    expect(() => onTopOf("paper")).toThrow(
      /^training\.weightDecayExclude: got \["layerNorm"\] from preset paper/,
    );
    expect(onTopOf("paper", "training.weightDecayExclude=[]").training.ivon).toBeDefined();
    const layers = environmentLayers({
      EPIGROK_TRAINING__OPTIMIZER: "ivon",
      EPIGROK_TRAINING__IVON__HESSIAN_INIT: "0.3",
    });
    expect(resolveConfig(layers).training.ivon?.hessianInit).toBe(0.3);
  });

  const byIvon = ' (training.optimizer "ivon" from --set training.optimizer=ivon)';
  it.each([
    [
      "training.gradientClip=1",
      "1",
      `must be left at 0 with optimizer ivon, see training.ivon.clipRadius${byIvon}`,
    ],
    [
      "training.beta2=0.95",
      "0.95",
      `must be left at 0.98 with optimizer ivon, see training.ivon.beta2${byIvon}`,
    ],
    [
      "training.epsilon=1e-6",
      "0.000001",
      `must be left at 1e-8 with optimizer ivon, which needs none${byIvon}`,
    ],
    [
      "training.weightDecayExclude=[layerNorm]",
      '["layerNorm"]',
      `must be left at [] with optimizer ivon, whose prior is the same for every parameter${byIvon}`,
    ],
    [
      "training.weightDecay=0",
      "0",
      `must be above 0 with optimizer ivon: it is the precision of the prior${byIvon}`,
    ],
    ["training.ivon.effectiveSampleSize=0", "0", "must be > 0"],
    ["training.ivon.effectiveSampleSize=all", '"all"', "must be a number above 0 or termsSeen"],
    ["training.ivon.hessianInit=0", "0", "must be > 0"],
    ["training.ivon.beta2=1", "1", "must be < 1"],
    ...["effectiveSampleSize", "hessianInit", "clipRadius"].map((key): [string, string, string] => [
      `training.ivon.${key}=1e39`,
      "1e+39",
      "must be in the range of float32, 1.4e-45 to 3.4e38",
    ]),
    ["training.ivon.samples=0", "0", "must be > 0"],
    ["training.ivon.clipRadius=-1", "-1", "must be >= 0"],
    ["evaluation.posteriorSamples=-1", "-1", "must be >= 0"],
  ])("with %s is refused", (assignment, value, allowed) => {
    const key = assignment.slice(0, assignment.indexOf("="));
    expect(messageFrom(IVON, assignment)).toBe(`${key}: got ${value} from --set ${assignment}, ${allowed}`);
  });

  it("is suggested nearby keys when one is unknown", () => {
    expect(messageFrom(IVON, "training.ivon={hesianInit: 1}")).toMatch(
      /unknown key "training\.ivon\.hesianInit"; did you mean "training\.ivon\.hessianInit"\?/,
    );
  });
});

describe("training.optimizer adamw", () => {
  it("has no settings of posteriors unless there is dropout", () => {
    const config = set();
    expect(config.training).not.toHaveProperty("ivon");
    expect(config.evaluation).not.toHaveProperty("posteriorSamples");
    const dropout = set("model.dropout=0.1");
    expect(dropout.training).not.toHaveProperty("ivon");
    expect(dropout.evaluation.posteriorSamples).toBe(16);
  });

  it("refuses them, naming all that is wrong", () => {
    expect(messageFrom("training.ivon.samples=2", "evaluation.posteriorSamples=4")).toBe(
      'training.ivon: got {"samples":2} from --set training.ivon.samples=2, must be absent unless training.optimizer is ' +
        'ivon (training.optimizer "adamw" by default)\n' +
        "evaluation.posteriorSamples: got 4 from --set evaluation.posteriorSamples=4, must be absent without optimizer " +
        'ivon or model.dropout above 0 (training.optimizer "adamw" by default, model.dropout 0 by default)',
    );
  });
});
