import { describe, expect, it } from "vitest";
import { constant } from "./reference/dual.ts";
import { rotate } from "./reference/layers.ts";
import { Random } from "./reference/random.ts";
import { type ReferenceShape, ReferenceTransformer } from "./reference/transformer.ts";

const defaults = { nCtx: 9, ropeBase: 30 };
const everyPosition = (length: number) => Array.from({ length }, (_, t) => t);

interface Case {
  shape: ReferenceShape;
  batchSize: number;
  length: number;
  positions: number[];
}

const cases: Case[] = [
  {
    shape: {
      ...defaults,
      dVocab: 5,
      dModel: 6,
      nHeads: 3,
      nLayers: 1,
      dMlp: 7,
      actFn: "relu",
      tiedEmbeddings: true,
      roles: 0,
    },
    batchSize: 3,
    length: 1,
    positions: [0],
  },
  {
    shape: {
      ...defaults,
      dVocab: 5,
      dModel: 6,
      nHeads: 3,
      nLayers: 2,
      dMlp: 7,
      actFn: "gelu",
      tiedEmbeddings: false,
      roles: 2,
    },
    batchSize: 2,
    length: 6,
    positions: [0, 2, 4],
  },
  {
    shape: {
      ...defaults,
      dVocab: 7,
      dModel: 10,
      nHeads: 1,
      nLayers: 3,
      dMlp: 7,
      actFn: "relu",
      tiedEmbeddings: false,
      roles: 3,
    },
    batchSize: 1,
    length: 9,
    positions: everyPosition(9),
  },
  {
    shape: {
      ...defaults,
      dVocab: 5,
      dModel: 10,
      nHeads: 1,
      nLayers: 2,
      dMlp: 13,
      actFn: "gelu",
      tiedEmbeddings: true,
      roles: 0,
    },
    batchSize: 2,
    length: 8,
    positions: [7],
  },
  {
    shape: {
      ...defaults,
      dVocab: 11,
      dModel: 4,
      nHeads: 2,
      nLayers: 1,
      dMlp: 1,
      actFn: "gelu",
      tiedEmbeddings: true,
      roles: 3,
    },
    batchSize: 2,
    length: 5,
    positions: everyPosition(5),
  },
  {
    shape: {
      ...defaults,
      dVocab: 5,
      dModel: 6,
      nHeads: 3,
      nLayers: 3,
      dMlp: 7,
      actFn: "relu",
      tiedEmbeddings: true,
      roles: 2,
    },
    batchSize: 2,
    length: 7,
    positions: [1, 6],
  },
  {
    shape: {
      ...defaults,
      dVocab: 5,
      dModel: 6,
      nHeads: 3,
      nLayers: 2,
      dMlp: 7,
      actFn: "silu",
      tiedEmbeddings: false,
      roles: 0,
    },
    batchSize: 2,
    length: 6,
    positions: [1, 5],
  },
];

const title = ({ shape: s, batchSize, length, positions }: Case) =>
  `V=${s.dVocab} d=${s.dModel} h=${s.nHeads} L=${s.nLayers} m=${s.dMlp} ${s.actFn} ${s.tiedEmbeddings ? "tied" : "untied"} ` +
  `roles=${s.roles} B=${batchSize} T=${length} P=${positions.length}`;

function setUp({ shape, batchSize, length, positions }: Case, seed = 1) {
  const random = new Random(seed);
  const model = new ReferenceTransformer(shape);
  return {
    model,
    random,
    params: random.parameters(model),
    batch: random.batch(shape, batchSize, length, positions),
  };
}

const dot = (a: Float64Array, b: Float64Array) => a.reduce((s, x, i) => s + x * b[i], 0);
const norm = (a: Float64Array) => Math.sqrt(dot(a, a));
const plus = (a: Float64Array, b: Float64Array, factor = 1) => a.map((x, i) => x + factor * b[i]);
const distance = (a: Float64Array, b: Float64Array) => norm(plus(a, b, -1));

/**
 * Central differences with step h err by h^2/6 times the third directional derivative, plus rounding: a value of a
 * few nats carries an error of several u = 2^-53, divided by h. Along unit directions the two balance near
 * h = 2^-17, as a scan of h confirms: the error falls as h^2 down to there and grows as 1/h below, where
 * u/h = 1.5e-11 times a few gives the absolute bound 2e-10. The third derivative is up to some hundred times the
 * first (LayerNorm of short vectors), and h^2/6 = 1e-11, hence 1e-8 relative. The seeds keep every ReLU input
 * further than h from its kink.
 */
const STEP = 2 ** -17;
const RELATIVE = 1e-8;
const ABSOLUTE = 2e-10;

function centralDifference(
  f: (p: Float64Array) => Float64Array,
  params: Float64Array,
  v: Float64Array,
): Float64Array {
  return plus(f(plus(params, v, STEP)), f(plus(params, v, -STEP)), -1).map((x) => x / (2 * STEP));
}

describe("forward pass", () => {
  it("agrees with the formulas written out for the second token of two, d=4, h=2", () => {
    const shape: ReferenceShape = {
      ...defaults,
      dVocab: 3,
      dModel: 4,
      nHeads: 2,
      nLayers: 1,
      dMlp: 1,
      actFn: "gelu",
      tiedEmbeddings: false,
      roles: 2,
    };
    const model = new ReferenceTransformer(shape);
    const params = new Random(3).parameters(model, 0.7);
    const w = (name: string) => {
      const { offset, length } = model.parameters.find((p) => p.name === name)!;
      return Array.from(params.subarray(offset, offset + length));
    };
    const row = (name: string, i: number) => w(name).slice(4 * i, 4 * i + 4);
    const inner = (a: number[], b: number[]) => a.reduce((s, x, i) => s + x * b[i], 0);
    const sum = (a: number[], b: number[]) => a.map((x, i) => x + b[i]);
    const times = (name: string, x: number[], rows: number[]) => rows.map((i) => inner(row(name, i), x));
    const layerNorm = (x: number[], name: string) => {
      const mean = (x[0] + x[1] + x[2] + x[3]) / 4;
      const variance = inner(x, x) / 4 - mean ** 2;
      const [g, b] = [w(`${name}.weight`), w(`${name}.bias`)];
      return x.map((xi, i) => (g[i] * (xi - mean)) / Math.sqrt(variance + 1e-5) + b[i]);
    };
    /** Position 1 turns the only pair of each head by 1 radian. */
    const turn = ([a, b]: number[]) => [a * Math.cos(1) - b * Math.sin(1), a * Math.sin(1) + b * Math.cos(1)];

    const x0 = sum(row("transformer.wte.weight", 2), row("transformer.wre.weight", 0));
    const x1 = sum(row("transformer.wte.weight", 0), row("transformer.wre.weight", 1));
    const [y0, y1] = [x0, x1].map((x) => layerNorm(x, "transformer.h.0.ln_1"));
    const head = (h: number) => {
      const project = (y: number[], part: number) =>
        times("transformer.h.0.attn.to_qkv.weight", y, [4 * part + 2 * h, 4 * part + 2 * h + 1]);
      const q = turn(project(y1, 0));
      const scores = [project(y0, 1), turn(project(y1, 1))].map((k) => inner(q, k) / Math.SQRT2);
      const p0 = 1 / (1 + Math.exp(scores[1] - scores[0]));
      const [v0, v1] = [project(y0, 2), project(y1, 2)];
      return [p0 * v0[0] + (1 - p0) * v1[0], p0 * v0[1] + (1 - p0) * v1[1]];
    };
    const mixed = [...head(0), ...head(1)];
    const r = sum(x1, times("transformer.h.0.attn.o.weight", mixed, [0, 1, 2, 3]));
    const a = inner(w("transformer.h.0.mlp.c_fc.weight"), layerNorm(r, "transformer.h.0.ln_2"));
    const gelu = 0.5 * a * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (a + 0.044715 * a ** 3)));
    const mlp = w("transformer.h.0.mlp.c_proj.weight").map((x) => x * gelu);
    const z = times("lm_head.weight", layerNorm(sum(r, mlp), "transformer.ln_f"), [0, 1, 2]);

    const batch = {
      tokens: Int32Array.of(2, 0),
      batchSize: 1,
      length: 2,
      positions: Int32Array.of(1),
      targets: Int32Array.of(1),
    };
    const logits = model.logits(params, batch);
    z.forEach((zc, c) => {
      expect(logits[c]).toBeCloseTo(zc, 13);
    });
    const nll = Math.log(z.reduce((s, zc) => s + Math.exp(zc), 0)) - z[1];
    expect(model.lossAndGradient(params, batch).loss).toBeCloseTo(nll, 13);
  });

  it("turns pair i of position t by t * base^(-2i/headDim)", () => {
    const angles = [3, 0.3]; // t = 3, base 100, headDim 4: 100^(-2/4) = 1/10
    const rotated = rotate(constant([1, 0, 0, 1]), 3, 100).value;
    const expected = [Math.cos(angles[0]), Math.sin(angles[0]), -Math.sin(angles[1]), Math.cos(angles[1])];
    expected.forEach((x, i) => {
      expect(rotated[i]).toBeCloseTo(x, 15);
    });
  });

  it("has the contract's parameter order", () => {
    const model = new ReferenceTransformer(cases[1].shape);
    expect(model.parameters.slice(0, 10).map(({ name, shape }) => [name, shape])).toEqual([
      ["transformer.wte.weight", [5, 6]],
      ["transformer.wre.weight", [2, 6]],
      ["transformer.h.0.ln_1.weight", [6]],
      ["transformer.h.0.ln_1.bias", [6]],
      ["transformer.h.0.attn.to_qkv.weight", [18, 6]],
      ["transformer.h.0.attn.o.weight", [6, 6]],
      ["transformer.h.0.ln_2.weight", [6]],
      ["transformer.h.0.ln_2.bias", [6]],
      ["transformer.h.0.mlp.c_fc.weight", [7, 6]],
      ["transformer.h.0.mlp.c_proj.weight", [6, 7]],
    ]);
    expect(model.parameters.slice(-3).map(({ name }) => name)).toEqual([
      "transformer.ln_f.weight",
      "transformer.ln_f.bias",
      "lm_head.weight",
    ]);
    expect(model.parameterCount).toBe(5 * 6 + 2 * 6 + 2 * (4 * 6 + 18 * 6 + 36 + 2 * 42) + 2 * 6 + 5 * 6);
    let end = 0;
    for (const { offset, length } of model.parameters) {
      expect(offset).toBe(end);
      end += length;
    }
    expect(end).toBe(model.parameterCount);
  });

  it("is causal, and a subset of positions gives the same logits as all of them", () => {
    const { model, params, batch } = setUp(cases[2]);
    const V = cases[2].shape.dVocab;
    const all = model.logits(params, batch);
    const changed = { ...batch, tokens: batch.tokens.map((token, t) => (t > 4 ? (token + 1) % V : token)) };
    const other = model.logits(params, changed);
    expect(other.subarray(0, 5 * V)).toEqual(all.subarray(0, 5 * V));
    for (let t = 5; t < 9; t++) {
      expect(distance(other.subarray(t * V, (t + 1) * V), all.subarray(t * V, (t + 1) * V))).toBeGreaterThan(
        1e-3,
      );
    }
    const subset = { ...batch, positions: Int32Array.of(3, 8), targets: Int32Array.of(0, 0) };
    expect(model.logits(params, subset)).toEqual(
      Float64Array.of(...all.subarray(3 * V, 4 * V), ...all.subarray(8 * V, 9 * V)),
    );
  });

  it("does not depend on the order of the heads, each contiguous within q, k and v", () => {
    const { model, params, batch } = setUp(cases[1]);
    const { dModel: d, nHeads } = cases[1].shape;
    const headDim = d / nHeads;
    const rolled = (channel: number) => (channel + headDim) % d;
    const permuted = params.slice();
    for (const { name, offset } of model.parameters) {
      for (let i = 0; i < d; i++) {
        for (let j = 0; j < d; j++) {
          if (name.endsWith("to_qkv.weight")) {
            for (const part of [0, 1, 2]) {
              permuted[offset + (part * d + rolled(i)) * d + j] = params[offset + (part * d + i) * d + j];
            }
          } else if (name.endsWith("attn.o.weight")) {
            permuted[offset + i * d + rolled(j)] = params[offset + i * d + j];
          }
        }
      }
    }
    const logits = model.logits(params, batch);
    expect(distance(permuted, params)).toBeGreaterThan(1);
    expect(distance(model.logits(permuted, batch), logits)).toBeLessThan(1e-13 * norm(logits));
  });

  it("with tied embeddings equals the untied model whose lm_head repeats wte", () => {
    const { model, params, batch } = setUp(cases[3]);
    const untied = new ReferenceTransformer({ ...cases[3].shape, tiedEmbeddings: false });
    const wte = model.parameters[0].length;
    const copied = Float64Array.of(...params, ...params.subarray(0, wte));
    expect(untied.logits(copied, batch)).toEqual(model.logits(params, batch));
    const { gradient } = model.lossAndGradient(params, batch);
    const split = untied.lossAndGradient(copied, batch).gradient;
    const joined = plus(split.subarray(0, wte), split.subarray(model.parameterCount));
    expect(distance(gradient.subarray(0, wte), joined)).toBeLessThan(1e-14 * norm(joined));
  });

  it("rejects what does not fit the shape", () => {
    const { model, params, batch } = setUp(cases[1]);
    expect(() => new ReferenceTransformer({ ...cases[1].shape, nHeads: 2 })).toThrow(/dModel \/ nHeads/);
    expect(() => model.logits(params.subarray(1), batch)).toThrow(/params/);
    expect(() => model.logits(params, { ...batch, targets: batch.targets.subarray(1) })).toThrow(/targets/);
    expect(() => model.hessianVectorProduct(params, batch, params.subarray(1))).toThrow(/v has length/);
  });
});

describe.each(cases.map((c) => [title(c), c] as const))("derivatives, %s", (_, testCase) => {
  const { model, random, params, batch } = setUp(testCase);
  const n = model.parameterCount;
  const loss = (p: Float64Array) => Float64Array.of(model.lossAndGradient(p, batch).loss);
  const gradientOf = (p: Float64Array) => model.lossAndGradient(p, batch).gradient;
  const gradient = gradientOf(params);

  it("gradient agrees with central differences of the loss in random directions", () => {
    for (let repeat = 0; repeat < 5; repeat++) {
      const v = random.direction(n);
      const [difference] = centralDifference(loss, params, v);
      expect(Math.abs(difference - dot(gradient, v))).toBeLessThan(RELATIVE * norm(gradient) + ABSOLUTE);
    }
  });

  it.each(model.parameters.map((p) => [p.name, p] as const))(
    "gradient of %s",
    (_name, { offset, length }) => {
      const part = gradient.subarray(offset, offset + length);
      for (let repeat = 0; repeat < 3; repeat++) {
        const v = new Float64Array(n);
        v.set(random.direction(length), offset);
        const [difference] = centralDifference(loss, params, v);
        expect(Math.abs(difference - dot(gradient, v))).toBeLessThan(RELATIVE * norm(part) + ABSOLUTE);
      }
    },
  );

  it("Jacobian-vector product agrees with central differences of the logits", () => {
    const v = random.direction(n);
    const jv = model.jacobianVectorProduct(params, batch, v);
    const difference = centralDifference((p) => model.logits(p, batch), params, v);
    expect(distance(difference, jv)).toBeLessThan(RELATIVE * norm(jv) + ABSOLUTE);
  });

  it("Hessian-vector product agrees with central differences of the gradient and is symmetric", () => {
    const [u, v] = [random.direction(n), random.direction(n)];
    const hv = model.hessianVectorProduct(params, batch, v);
    const difference = centralDifference(gradientOf, params, v);
    expect(distance(difference, hv)).toBeLessThan(RELATIVE * norm(hv) + ABSOLUTE);
    const hu = model.hessianVectorProduct(params, batch, u);
    expect(Math.abs(dot(u, hv) - dot(v, hu))).toBeLessThan(1e-13 * norm(hv));
  });

  it("Gauss-Newton product agrees with the sum over classes of p_c g_c g_c'", () => {
    const v = random.direction(n);
    const enumerated = new Float64Array(n);
    const { dVocab } = testCase.shape;
    const pairs = batch.targets.length;
    for (let i = 0; i < pairs; i++) {
      const b = Math.floor(i / batch.positions.length);
      for (let c = 0; c < dVocab; c++) {
        const single = {
          tokens: batch.tokens.subarray(b * batch.length, (b + 1) * batch.length),
          batchSize: 1,
          length: batch.length,
          positions: batch.positions.subarray(i % batch.positions.length, (i % batch.positions.length) + 1),
          targets: Int32Array.of(c),
        };
        const { loss: nll, gradient: g } = model.lossAndGradient(params, single);
        const weight = (Math.exp(-nll) * dot(g, v)) / pairs;
        for (let k = 0; k < n; k++) enumerated[k] += weight * g[k];
      }
    }
    const gv = model.ggnVectorProduct(params, batch, v);
    expect(norm(gv)).toBeGreaterThan(1e-6);
    expect(distance(gv, enumerated)).toBeLessThan(1e-13 * norm(gv));
  });
});

it("Hessian and Gauss-Newton matrix coincide within lm_head, in which the logits are linear", () => {
  const { model, random, params, batch } = setUp(cases[1]);
  const { offset, length } = model.parameters.at(-1)!;
  const v = new Float64Array(model.parameterCount);
  v.set(random.direction(length), offset);
  const hv = model.hessianVectorProduct(params, batch, v).subarray(offset);
  const gv = model.ggnVectorProduct(params, batch, v).subarray(offset);
  expect(distance(hv, gv)).toBeLessThan(1e-14 * norm(hv));
});
