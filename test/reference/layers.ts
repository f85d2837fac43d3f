/**
 * The layers of a pre-LN decoder for one sequence, in dual numbers. Each returns its output and a `pullback`
 * that maps the gradient of the output to that of the input and adds the parameters' gradients on the way.
 * Activations are lists of T vectors, one per token: (T, C).
 */
import type { ActFn } from "../../src/core/activations.ts";
import {
  accumulate,
  accumulateOuter,
  add,
  concatenate,
  constant,
  type Dual,
  map,
  matVec,
  mean,
  multiply,
  scale,
  slice,
  subtract,
  sum,
  transposedMatVec,
  zeros,
} from "./dual.ts";

export interface Layer {
  output: Dual[];
  pullback(dOutput: Dual[]): Dual[];
}

/** One parameter tensor, as views into the flat parameter and gradient vectors. */
export interface Parameter {
  weight: Dual;
  gradient: Dual;
  /** Told, by the pullback of a layer that is linear in the weight, of its input and output gradient at each row. */
  onRow?: (t: number, input: Float64Array, dOutput: Float64Array) => void;
}

const LAYER_NORM_EPSILON = constant([1e-5]);

/** (x - mean) / sqrt(biased variance + 1e-5) * weight + bias, per token. */
export function layerNorm(x: Dual[], weight: Parameter, bias: Parameter): Layer {
  const inverseStd: Dual[] = [];
  const normalised: Dual[] = [];
  for (const xt of x) {
    const centred = subtract(xt, mean(xt));
    const variance = add(mean(multiply(centred, centred)), LAYER_NORM_EPSILON);
    const scaling = map(
      variance,
      (s) => 1 / Math.sqrt(s),
      (s) => -0.5 / (s * Math.sqrt(s)),
    );
    inverseStd.push(scaling);
    normalised.push(multiply(centred, scaling));
  }
  return {
    output: normalised.map((n) => add(multiply(n, weight.weight), bias.weight)),
    pullback: (dOutput) =>
      dOutput.map((dy, t) => {
        accumulate(weight.gradient, multiply(dy, normalised[t]));
        accumulate(bias.gradient, dy);
        const dn = multiply(dy, weight.weight);
        const alongNormalised = multiply(normalised[t], mean(multiply(dn, normalised[t])));
        return multiply(inverseStd[t], subtract(subtract(dn, mean(dn)), alongNormalised));
      }),
  };
}

/** y = W x per token, W (out, in). */
export function linear(x: Dual[], w: Parameter): Layer {
  return {
    output: x.map((xt) => matVec(w.weight, xt)),
    pullback: (dOutput) =>
      dOutput.map((dy, t) => {
        accumulateOuter(w.gradient, dy, x[t]);
        w.onRow?.(t, x[t].value, dy.value);
        return transposedMatVec(w.weight, dy);
      }),
  };
}

/** Table rows by index; the pullback adds to the table's gradient and has no input gradient to return. */
export function embedding(indices: ArrayLike<number>, width: number, table: Parameter): Layer {
  const row = (d: Dual, t: number) => slice(d, indices[t] * width, width);
  return {
    output: Array.from(indices, (_, t) => row(table.weight, t)),
    pullback: (dOutput) => {
      dOutput.forEach((dy, t) => {
        accumulate(row(table.gradient, t), dy);
        const oneHot = new Float64Array(table.weight.value.length / width);
        oneHot[indices[t]] = 1;
        table.onRow?.(t, oneHot, dy.value);
      });
      return [];
    },
  };
}

/** Rotary embedding of one head's vector: the pair (2i, 2i+1) turns by position * base^(-2i/headDim). */
export function rotate(x: Dual, position: number, base: number): Dual {
  const headDim = x.value.length;
  const rotated = zeros(headDim);
  for (let i = 0; i < headDim; i += 2) {
    const angle = position * base ** (-i / headDim);
    const cos = Math.cos(angle);
    const sin = Math.sin(angle);
    for (const part of ["value", "tangent"] as const) {
      const [x0, x1] = [x[part][i], x[part][i + 1]];
      rotated[part][i] = x0 * cos - x1 * sin;
      rotated[part][i + 1] = x0 * sin + x1 * cos;
    }
  }
  return rotated;
}

/** exp(x) / sum exp(x). The subtracted maximum cancels, so it may be a constant. */
export function softmax(x: Dual): Dual {
  const shift = constant([Math.max(...x.value)]);
  const e = map(subtract(x, shift), Math.exp, Math.exp);
  const reciprocal = map(
    sum(e),
    (s) => 1 / s,
    (s) => -1 / (s * s),
  );
  return multiply(e, reciprocal);
}

/** Causal attention of one head: queries, keys and values (T, headDim), already rotated. */
function attentionHead(queries: Dual[], keys: Dual[], values: Dual[]) {
  const headDim = queries[0].value.length;
  const scaling = 1 / Math.sqrt(headDim);
  const allKeys = concatenate(keys);
  const allValues = concatenate(values);
  const upTo = (rows: Dual, t: number) => slice(rows, 0, (t + 1) * headDim);
  const weights = queries.map((q, t) => softmax(scale(matVec(upTo(allKeys, t), q), scaling)));
  return {
    output: weights.map((w, t) => transposedMatVec(upTo(allValues, t), w)),
    pullback(dOutput: Dual[]): { dQueries: Dual[]; dKeys: Dual[]; dValues: Dual[] } {
      const dAllKeys = zeros(allKeys.value.length);
      const dAllValues = zeros(allValues.value.length);
      const dQueries = dOutput.map((dy, t) => {
        const dWeights = matVec(upTo(allValues, t), dy);
        accumulateOuter(upTo(dAllValues, t), weights[t], dy);
        const expected = sum(multiply(weights[t], dWeights));
        const dScores = scale(multiply(weights[t], subtract(dWeights, expected)), scaling);
        accumulateOuter(upTo(dAllKeys, t), dScores, queries[t]);
        return transposedMatVec(upTo(allKeys, t), dScores);
      });
      const rows = (flat: Dual) => queries.map((_, t) => slice(flat, t * headDim, headDim));
      return { dQueries, dKeys: rows(dAllKeys), dValues: rows(dAllValues) };
    },
  };
}

/** Multi-head causal self-attention over the stacked (q, k, v) projection: (T, 3C) to (T, C). */
export function attention(qkv: Dual[], nHeads: number, ropeBase: number): Layer {
  const width = qkv[0].value.length / 3;
  const headDim = width / nHeads;
  const [Q, K, V] = [0, 1, 2];
  const part = (row: Dual, which: number, head: number) =>
    slice(row, which * width + head * headDim, headDim);
  const heads = Array.from({ length: nHeads }, (_, h) =>
    attentionHead(
      qkv.map((row, t) => rotate(part(row, Q, h), t, ropeBase)),
      qkv.map((row, t) => rotate(part(row, K, h), t, ropeBase)),
      qkv.map((row) => part(row, V, h)),
    ),
  );
  return {
    output: qkv.map((_, t) => concatenate(heads.map((head) => head.output[t]))),
    pullback: (dOutput) => {
      const dQkv = qkv.map(() => zeros(3 * width));
      heads.forEach((head, h) => {
        const d = head.pullback(dOutput.map((dy) => slice(dy, h * headDim, headDim)));
        dQkv.forEach((row, t) => {
          accumulate(part(row, Q, h), rotate(d.dQueries[t], -t, ropeBase));
          accumulate(part(row, K, h), rotate(d.dKeys[t], -t, ropeBase));
          accumulate(part(row, V, h), d.dValues[t]);
        });
      });
      return dQkv;
    },
  };
}

/** Element (t, c) times the constant `factor(t, c)`. */
export function mask(x: Dual[], factor: (t: number, c: number) => number): Layer {
  const apply = (rows: Dual[]) =>
    rows.map((row, t) => multiply(row, constant(row.value.map((_, c) => factor(t, c)))));
  return { output: apply(x), pullback: apply };
}

/** Values and slopes of max(x, 0), its slope at 0 being 0; of GELU in its tanh form; of x sigmoid(x). */
const ACTIVATIONS: Record<ActFn, (x: Dual) => { value: Dual; slope: Dual }> = { relu, gelu, silu };

export function activation(x: Dual[], actFn: ActFn): Layer {
  const pieces = x.map(ACTIVATIONS[actFn]);
  return {
    output: pieces.map((piece) => piece.value),
    pullback: (dOutput) => dOutput.map((dy, t) => multiply(dy, pieces[t].slope)),
  };
}

function relu(x: Dual): { value: Dual; slope: Dual } {
  const slope = constant(x.value.map((xi) => (xi > 0 ? 1 : 0)));
  return { value: multiply(slope, x), slope };
}

function gelu(x: Dual): { value: Dual; slope: Dual } {
  const c = Math.sqrt(2 / Math.PI);
  const a = 0.044715;
  const unit = constant([1]);
  const square = multiply(x, x);
  const inner = scale(add(x, scale(multiply(square, x), a)), c);
  const innerSlope = scale(add(unit, scale(square, 3 * a)), c);
  const tanh = map(inner, Math.tanh, (u) => 1 - Math.tanh(u) ** 2);
  const tanhSlope = multiply(subtract(unit, multiply(tanh, tanh)), innerSlope);
  const gate = scale(add(unit, tanh), 0.5);
  return {
    value: multiply(x, gate),
    slope: add(gate, scale(multiply(x, tanhSlope), 0.5)),
  };
}

function silu(x: Dual): { value: Dual; slope: Dual } {
  const sigmoid = (u: number) => 1 / (1 + Math.exp(-u));
  const gate = map(x, sigmoid, (u) => sigmoid(u) * sigmoid(-u));
  const gateSlope = multiply(gate, subtract(constant([1]), gate));
  return { value: multiply(x, gate), slope: add(gate, multiply(x, gateSlope)) };
}
