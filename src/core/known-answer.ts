/**
 * Whether the wide build of the core does on this engine what it is for: the same bytes as the narrow one, sooner. V8's
 * merging of vectors is experimental, so this is asked before every use of it.
 */
import type { CoreModule } from "./module.ts";
import type { TransformerShape } from "./shape.ts";
import { instantiateTransformer } from "./transformer.ts";

/** No size is a multiple of the other ones' tile: whole tiles and edges are both met. */
const SHAPE: TransformerShape = {
  dVocab: 23,
  dModel: 40,
  nHeads: 4,
  nLayers: 2,
  dMlp: 72,
  nCtx: 5,
  actFn: "gelu",
  tiedEmbeddings: false,
};
const SEQUENCES = 19;
const POSITIONS = [0, 2, 4];
/** Enough for V8 to optimise what a step consists of, and then some to be timed. */
const STEPS = 48;
/** An engine that does not merge takes about twice the narrow build's time; one that does, less than it. */
const SLOWEST = 1.25;

/** Why the wide build is of no use here, in words; null if it is. */
export function wideObstacle(wide: CoreModule, narrow: CoreModule): string | null {
  const [a, b] = [train(wide), train(narrow)];
  if (!sameBytes(a.result, b.result))
    return "a known-answer test gave other bytes 256 bits wide than 128 bits wide";
  if (a.seconds > SLOWEST * b.seconds)
    return `this engine does not merge vectors (a test step took ${(a.seconds / b.seconds).toFixed(1)} times as long)`;
  return null;
}

/** Forward, backward and AdamW, then a curvature product; seconds are those of the fastest step. */
function train(core: CoreModule): { result: Float32Array[]; seconds: number } {
  const model = instantiateTransformer(core, SHAPE, { curvature: true });
  const parameters = Float32Array.from(
    { length: model.parameterCount },
    (_, i) => 0.2 * Math.sin(i * 12.9898),
  );
  model.setParameters(parameters);
  model.setMoments({
    first: new Float32Array(parameters.length),
    second: new Float32Array(parameters.length),
  });
  const batch = {
    tokens: Int32Array.from({ length: SEQUENCES * SHAPE.nCtx }, (_, i) => (i * i + i) % SHAPE.dVocab),
    batchSize: SEQUENCES,
    length: SHAPE.nCtx,
    positions: Int32Array.from(POSITIONS),
    targets: Int32Array.from({ length: SEQUENCES * POSITIONS.length }, (_, i) => (i * 5) % SHAPE.dVocab),
  };
  const adamw = { learningRate: 1e-3, weightDecay: 0.1, beta1: 0.9, beta2: 0.98, epsilon: 1e-8 };
  let seconds = Number.POSITIVE_INFINITY;
  for (let step = 1; step <= STEPS; step++) {
    const started = performance.now();
    model.trainStep(batch, { ...adamw, step });
    seconds = Math.min(seconds, (performance.now() - started) / 1000);
  }
  return { result: [model.getParameters(), model.hessianVectorProduct(batch, parameters)], seconds };
}

/** NaN is equal to itself, 0 is not equal to -0. */
function sameBytes(a: readonly Float32Array[], b: readonly Float32Array[]): boolean {
  return a.every((array, i) => array.every((value, j) => Object.is(value, b[i][j])));
}
