/**
 * The same training step in TensorFlow.js on its WebAssembly backend: SIMD, one thread. Reads and writes what
 * ../pytorch_step.py does.
 *
 * The backend has no kernel for the gradient of a gather (UnsortedSegmentSum), so the token embedding is the product of
 * one-hot rows with the table, and the predicting positions, which are evenly spaced, are a slice.
 */
import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";

// Only the CommonJS builds run in Node.
const require = createRequire(import.meta.url);
const tf = require("@tensorflow/tfjs");
const { setThreadsCount, version_wasm } = require("@tensorflow/tfjs-backend-wasm");

const LEARNING_RATE = 1e-3;
const WEIGHT_DECAY = 0.5;

const input = readFileSync(0);
const newline = input.indexOf("\n");
const { shape, batch, seconds } = JSON.parse(input.subarray(0, newline).toString());
const flat = new Float32Array(new Uint8Array(input.subarray(newline + 1)).buffer);

setThreadsCount(1);
await tf.setBackend("wasm");
if (!(await tf.env().getAsync("WASM_HAS_SIMD_SUPPORT"))) throw new Error("the backend runs without SIMD");

const { dModel: d, nHeads, nLayers, dVocab, roles, ropeBase, actFn, tiedEmbeddings } = shape;
const { batchSize: B, length: T, positions } = batch;
const head = d / nHeads;
const period = positions.length > 1 ? positions[1] - positions[0] : T;
if (positions.some((t, k) => t !== positions[0] + k * period))
  throw new Error("positions: not evenly spaced");

const weights = new Map(
  shape.parameters.map(({ name, shape: dimensions, offset, length }) => [
    name,
    tf.variable(tf.tensor(flat.slice(offset, offset + length), dimensions), true, name),
  ]),
);
const angle = Float32Array.from({ length: (T * head) / 2 }, (_, i) => {
  const pair = i % (head / 2);
  return Math.floor(i / (head / 2)) * ropeBase ** ((-2 * pair) / head);
});
const angles = tf.tensor(angle, [T, head / 2, 1]);
const [cos, sin] = [tf.cos(angles), tf.sin(angles)];
const mask = tf.tensor(
  Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) ? -1e9 : 0)),
  [T, T],
);
const oneHotTokens = tf.cast(tf.oneHot(tf.tensor1d(batch.tokens, "int32"), dVocab), "float32");
const oneHotTargets = tf.cast(tf.oneHot(tf.tensor1d(batch.targets, "int32"), dVocab), "float32");
const oneHotRoles =
  roles > 0 &&
  tf.cast(
    tf.oneHot(
      tf.tensor1d(
        Array.from({ length: T }, (_, t) => t % roles),
        "int32",
      ),
      roles,
    ),
    "float32",
  );

/** x W' for x (rows, in) and W (out, in). */
const linear = (x, name) => tf.matMul(x, weights.get(name), false, true);

function layerNorm(x, name) {
  const { mean, variance } = tf.moments(x, -1, true);
  const normal = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5)));
  return tf.add(tf.mul(normal, weights.get(`${name}.weight`)), weights.get(`${name}.bias`));
}

/** Rotary embedding of x (B, H, T, head). */
function rotate(x) {
  const pairs = tf.reshape(x, [B * nHeads, T, head / 2, 2]);
  const size = [B * nHeads, T, head / 2, 1];
  const [x0, x1] = [tf.slice(pairs, [0, 0, 0, 0], size), tf.slice(pairs, [0, 0, 0, 1], size)];
  const rotated = tf.concat(
    [tf.sub(tf.mul(x0, cos), tf.mul(x1, sin)), tf.add(tf.mul(x0, sin), tf.mul(x1, cos))],
    -1,
  );
  return tf.reshape(rotated, [B, nHeads, T, head]);
}

const activations = { relu: tf.relu, gelu, silu: (x) => tf.mul(x, tf.sigmoid(x)) };

function gelu(x) {
  const inner = tf.mul(Math.sqrt(2 / Math.PI), tf.add(x, tf.mul(0.044715, tf.mul(x, tf.square(x)))));
  return tf.mul(tf.mul(0.5, x), tf.add(1, tf.tanh(inner)));
}

function attention(x, name) {
  const qkv = tf.reshape(linear(x, `${name}.to_qkv.weight`), [B, T, 3 * d]);
  const [q, k, v] = tf
    .split(qkv, 3, -1)
    .map((part) => tf.transpose(tf.reshape(part, [B, T, nHeads, head]), [0, 2, 1, 3]));
  const scores = tf.mul(tf.matMul(rotate(q), rotate(k), false, true), 1 / Math.sqrt(head));
  const y = tf.matMul(tf.softmax(tf.add(scores, mask)), v);
  return linear(tf.reshape(tf.transpose(y, [0, 2, 1, 3]), [B * T, d]), `${name}.o.weight`);
}

function mlp(x, name) {
  const hidden = linear(x, `${name}.c_fc.weight`);
  return linear(activations[actFn](hidden), `${name}.c_proj.weight`);
}

/** The rows of x (B T, d) at the predicting positions, (B P, d). */
function atPositions(x) {
  const P = positions.length;
  const first = positions[0];
  const padded = tf.pad(tf.reshape(x, [B, T, d]), [
    [0, 0],
    [0, Math.max(0, P * period - T)],
    [0, 0],
  ]);
  const grouped = tf.reshape(tf.slice(padded, [0, 0, 0], [B, P * period, d]), [B, P, period, d]);
  return tf.reshape(tf.slice(grouped, [0, 0, first, 0], [B, P, 1, d]), [B * P, d]);
}

function loss() {
  let x = tf.matMul(oneHotTokens, weights.get("transformer.wte.weight"));
  if (roles > 0) {
    const embedded = tf.matMul(oneHotRoles, weights.get("transformer.wre.weight"));
    x = tf.reshape(tf.add(tf.reshape(x, [B, T, d]), embedded), [B * T, d]);
  }
  for (let i = 0; i < nLayers; i++) {
    const block = `transformer.h.${i}`;
    x = tf.add(x, attention(layerNorm(x, `${block}.ln_1`), `${block}.attn`));
    x = tf.add(x, mlp(layerNorm(x, `${block}.ln_2`), `${block}.mlp`));
  }
  const features = layerNorm(atPositions(x), "transformer.ln_f");
  const logits = linear(features, tiedEmbeddings ? "transformer.wte.weight" : "lm_head.weight");
  return tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(logits), oneHotTargets), -1)));
}

const { value, grads } = tf.variableGrads(loss);
const gradient = Buffer.concat(
  shape.parameters.map(({ name }) => Buffer.from(Float32Array.from(grads[name].dataSync()).buffer)),
);
const lossBefore = value.dataSync()[0];
tf.dispose([value, grads]);

const optimizer = tf.train.adam(LEARNING_RATE, 0.9, 0.98, 1e-8);
function step() {
  tf.tidy(() => {
    optimizer.minimize(loss, true).dataSync();
    for (const weight of weights.values()) weight.assign(tf.mul(weight, 1 - LEARNING_RATE * WEIGHT_DECAY));
  });
}

function timed() {
  const started = performance.now();
  step();
  return performance.now() - started;
}
timed();
let milliseconds = timed();
const until = performance.now() + 1000 * seconds;
while (performance.now() < until) milliseconds = Math.min(milliseconds, timed());

const line = `${JSON.stringify({ version: version_wasm, milliseconds, loss: lossBefore })}\n`;
const output = Buffer.concat([Buffer.from(line), gradient]);
for (let at = 0; at < output.length; ) at += writeSync(1, output, at);
