/**
 * The reference model: the same decoder as the numeric core, in float64 and plain loops, for tests only.
 * Run on dual numbers, one forward and one hand-written backward pass also give the exact
 * Jacobian-, Hessian- and Gauss-Newton-vector products (forward over reverse, Pearlmutter 1994).
 */
import type { ActFn } from "../../src/core/activations.ts";
import {
  accumulate,
  add,
  concatenate,
  constant,
  type Dual,
  multiply,
  scale,
  slice,
  subtract,
  sum,
  zeros,
} from "./dual.ts";
import {
  activation,
  attention,
  embedding,
  type Layer,
  layerNorm,
  linear,
  mask,
  type Parameter,
  softmax,
} from "./layers.ts";

export interface ReferenceShape {
  dVocab: number;
  dModel: number;
  nHeads: number;
  nLayers: number;
  dMlp: number;
  nCtx: number;
  actFn: ActFn;
  tiedEmbeddings: boolean;
  ropeBase: number;
  /** 0: no role embedding; otherwise the token at position t has role t mod `roles`. */
  roles: number;
}

export interface ReferenceBatch {
  /** (B, T), row-major. */
  tokens: Int32Array;
  batchSize: number;
  length: number;
  /** (P), increasing: the positions whose logits are wanted and, with `targets`, bear the loss. */
  positions: Int32Array;
  /** (B, P), row-major. */
  targets: Int32Array;
}

/**
 * Dropout as factors on what the branches add to the residual stream. Sites: 2i for the attention and 2i + 1 for the
 * MLP of block i; sequence and time are places within the batch.
 */
export type DropoutFactor = (site: number, sequence: number, time: number, column: number) => number;

/** Row t of one sequence, which for the unembedding is one of its P predictions. A tied unembedding is a use of its own. */
export type RowListener = (use: string, t: number, input: Float64Array, dOutput: Float64Array) => void;

/** Parameter, or with tied embeddings use of the token embedding, as unembedding. */
export const UNEMBEDDING = "lm_head.weight";

export interface ParameterEntry {
  name: string;
  shape: number[];
  /** In elements of the flat parameter vector. */
  offset: number;
  length: number;
}

export class ReferenceTransformer {
  readonly shape: ReferenceShape;
  readonly parameters: readonly ParameterEntry[];
  readonly parameterCount: number;
  readonly #dropout: DropoutFactor | undefined;

  constructor(shape: ReferenceShape, dropout?: DropoutFactor) {
    if (!Number.isInteger(shape.dModel / (2 * shape.nHeads))) {
      throw new RangeError(
        `dModel / nHeads is ${shape.dModel} / ${shape.nHeads}; it must be an even integer`,
      );
    }
    this.shape = shape;
    this.#dropout = dropout;
    this.parameters = parameterTable(shape);
    this.parameterCount = this.parameters.reduce((total, { length }) => total + length, 0);
  }

  /** Logits (B, P, V). */
  logits(params: Float64Array, batch: ReferenceBatch): Float64Array {
    return concatenate(this.#run(constant(params), batch).logits).value;
  }

  /** Mean NLL in nats over all B * P predictions, and its gradient. */
  lossAndGradient(params: Float64Array, batch: ReferenceBatch): { loss: number; gradient: Float64Array } {
    const run = this.#run(constant(params), batch);
    return {
      loss: meanNll(run.logits, batch),
      gradient: run.pullback(meanNllGradient(run.logits, batch)).value,
    };
  }

  /** J v, (B, P, V): the derivative of the logits in direction v. */
  jacobianVectorProduct(params: Float64Array, batch: ReferenceBatch, v: Float64Array): Float64Array {
    return concatenate(this.#run({ value: params, tangent: v }, batch).logits).tangent;
  }

  /** H v for the Hessian H of the mean NLL: the derivative of its gradient in direction v. */
  hessianVectorProduct(params: Float64Array, batch: ReferenceBatch, v: Float64Array): Float64Array {
    const run = this.#run({ value: params, tangent: v }, batch);
    return run.pullback(meanNllGradient(run.logits, batch)).tangent;
  }

  /** G v for the generalised Gauss-Newton matrix G = mean of J' (diag p - p p') J over all B * P predictions. */
  ggnVectorProduct(params: Float64Array, batch: ReferenceBatch, v: Float64Array): Float64Array {
    const run = this.#run({ value: params, tangent: v }, batch);
    const curved = run.logits.map((z) => {
      const p = softmax(constant(z.value));
      const jv = constant(z.tangent);
      return scale(multiply(p, subtract(jv, sum(multiply(p, jv)))), 1 / run.logits.length);
    });
    return run.pullback(curved).value;
  }

  /** J' c, flat, for a cotangent c (B, P, V) of the logits; `onRow` hears of every row of every use of a matrix. */
  vectorJacobianProduct(
    params: Float64Array,
    batch: ReferenceBatch,
    cotangent: Float64Array,
    onRow?: RowListener,
  ): Float64Array {
    const run = this.#run(constant(params), batch, onRow);
    const { dVocab } = this.shape;
    return run.pullback(run.logits.map((_, i) => constant(cotangent.subarray(i * dVocab, (i + 1) * dVocab))))
      .value;
  }

  /** Logits, B * P vectors of length V, and the pullback from their gradients to that of the flat parameters. */
  #run(params: Dual, batch: ReferenceBatch, onRow?: RowListener) {
    this.#check(params, batch);
    const gradient = zeros(this.parameterCount);
    const named = new Map<string, Parameter>(
      this.parameters.map(({ name, offset, length }) => [
        name,
        { weight: slice(params, offset, length), gradient: slice(gradient, offset, length) },
      ]),
    );
    const { length, positions } = batch;
    const sequences = Array.from({ length: batch.batchSize }, (_, b) =>
      this.#sequence(
        b,
        (name, use = name) => ({
          ...named.get(name)!,
          onRow: onRow && ((t, input, dOutput) => onRow(use, t, input, dOutput)),
        }),
        batch.tokens.subarray(b * length, (b + 1) * length),
        positions,
      ),
    );
    return {
      logits: sequences.flatMap((sequence) => sequence.output),
      pullback: (dLogits: Dual[]): Dual => {
        sequences.forEach((sequence, b) => {
          sequence.pullback(dLogits.slice(b * positions.length, (b + 1) * positions.length));
        });
        return gradient;
      },
    };
  }

  /** Sequence `b` of T tokens: its logits at the P positions. */
  #sequence(
    b: number,
    parameter: (name: string, use?: string) => Parameter,
    tokens: Int32Array,
    positions: Int32Array,
  ): Layer {
    const { dModel, nHeads, nLayers, actFn, ropeBase, roles, tiedEmbeddings } = this.shape;
    const token = embedding(tokens, dModel, parameter("transformer.wte.weight"));
    const role =
      roles > 0 &&
      embedding(
        tokens.map((_, t) => t % roles),
        dModel,
        parameter("transformer.wre.weight"),
      );
    const blocks: Layer[] = [];
    let x = role ? addRows(token.output, role.output) : token.output;
    for (let i = 0; i < nLayers; i++) {
      const dropout = (site: number) => (y: Dual[]) => mask(y, (t, c) => this.#dropout?.(site, b, t, c) ?? 1);
      const p = (suffix: string) => parameter(`transformer.h.${i}.${suffix}`);
      const attend = residual(x, [
        (y) => layerNorm(y, p("ln_1.weight"), p("ln_1.bias")),
        (y) => linear(y, p("attn.to_qkv.weight")),
        (y) => attention(y, nHeads, ropeBase),
        (y) => linear(y, p("attn.o.weight")),
        dropout(2 * i),
      ]);
      const mlp = residual(attend.output, [
        (y) => layerNorm(y, p("ln_2.weight"), p("ln_2.bias")),
        (y) => linear(y, p("mlp.c_fc.weight")),
        (y) => activation(y, actFn),
        (y) => linear(y, p("mlp.c_proj.weight")),
        dropout(2 * i + 1),
      ]);
      blocks.push(attend, mlp);
      x = mlp.output;
    }
    const head = chain(
      Array.from(positions, (t) => x[t]),
      [
        (y) => layerNorm(y, parameter("transformer.ln_f.weight"), parameter("transformer.ln_f.bias")),
        (y) => linear(y, parameter(tiedEmbeddings ? "transformer.wte.weight" : UNEMBEDDING, UNEMBEDDING)),
      ],
    );
    return {
      output: head.output,
      pullback: (dLogits) => {
        const dx = x.map(() => zeros(dModel));
        head.pullback(dLogits).forEach((d, i) => {
          accumulate(dx[positions[i]], d);
        });
        const dInput = blocks.reduceRight((d, block) => block.pullback(d), dx);
        token.pullback(dInput);
        if (role) role.pullback(dInput);
        return dInput;
      },
    };
  }

  #check(params: Dual, { tokens, batchSize, length, positions, targets }: ReferenceBatch): void {
    const expect = (name: string, actual: number, expected: number) => {
      if (actual !== expected) throw new RangeError(`${name} has length ${actual}; it must be ${expected}`);
    };
    expect("params", params.value.length, this.parameterCount);
    expect("v", params.tangent.length, this.parameterCount);
    expect("tokens", tokens.length, batchSize * length);
    expect("targets", targets.length, batchSize * positions.length);
    if (length > this.shape.nCtx) {
      throw new RangeError(`length is ${length}; it must be at most nCtx = ${this.shape.nCtx}`);
    }
  }
}

function parameterTable(shape: ReferenceShape): ParameterEntry[] {
  const { dVocab: V, dModel: d, dMlp: m, nLayers, roles, tiedEmbeddings } = shape;
  const tensors: [string, number[]][] = [["transformer.wte.weight", [V, d]]];
  if (roles > 0) tensors.push(["transformer.wre.weight", [roles, d]]);
  for (let i = 0; i < nLayers; i++) {
    const block: [string, number[]][] = [
      ["ln_1.weight", [d]],
      ["ln_1.bias", [d]],
      ["attn.to_qkv.weight", [3 * d, d]],
      ["attn.o.weight", [d, d]],
      ["ln_2.weight", [d]],
      ["ln_2.bias", [d]],
      ["mlp.c_fc.weight", [m, d]],
      ["mlp.c_proj.weight", [d, m]],
    ];
    for (const [name, size] of block) tensors.push([`transformer.h.${i}.${name}`, size]);
  }
  tensors.push(["transformer.ln_f.weight", [d]], ["transformer.ln_f.bias", [d]]);
  if (!tiedEmbeddings) tensors.push([UNEMBEDDING, [V, d]]);

  let offset = 0;
  return tensors.map(([name, size]) => {
    const entry = { name, shape: size, offset, length: size.reduce((a, b) => a * b, 1) };
    offset += entry.length;
    return entry;
  });
}

function addRows(a: Dual[], b: Dual[]): Dual[] {
  return a.map((row, t) => add(row, b[t]));
}

/** Layers one after the other. */
function chain(x: Dual[], stages: ((y: Dual[]) => Layer)[]): Layer {
  const layers: Layer[] = [];
  let output = x;
  for (const stage of stages) {
    const layer = stage(output);
    layers.push(layer);
    output = layer.output;
  }
  return { output, pullback: (dOutput) => layers.reduceRight((d, layer) => layer.pullback(d), dOutput) };
}

/** x + chain(x). */
function residual(x: Dual[], stages: ((y: Dual[]) => Layer)[]): Layer {
  const branch = chain(x, stages);
  return {
    output: addRows(x, branch.output),
    pullback: (dOutput) => addRows(dOutput, branch.pullback(dOutput)),
  };
}

/** Mean over the B * P predictions of log(sum exp z) - z[target]. */
function meanNll(logits: Dual[], { targets }: ReferenceBatch): number {
  const nll = logits.map(({ value: z }, i) => {
    const max = Math.max(...z);
    return max + Math.log(z.reduce((s, zc) => s + Math.exp(zc - max), 0)) - z[targets[i]];
  });
  return nll.reduce((s, l) => s + l, 0) / nll.length;
}

/** Gradient of the mean NLL with respect to each logit vector: (softmax(z) - one-hot(target)) / (B P). */
function meanNllGradient(logits: Dual[], { targets }: ReferenceBatch): Dual[] {
  return logits.map((z, i) => {
    const oneHot = zeros(z.value.length);
    oneHot.value[targets[i]] = 1;
    return scale(subtract(softmax(z), oneHot), 1 / logits.length);
  });
}
