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
/** Steps of a round. V8 optimises meanwhile, on other threads, and later on a busy machine. */
const STEPS = 24;
const ROUNDS = 8;
/** An engine that does not merge takes about twice the narrow build's time; one that does, less than it. */
const SLOWEST = 1.25;

/** Why the wide build is of no use here, in words; null if it is. */
export function wideObstacle(wide: CoreModule, narrow: CoreModule): string | null {
  const [a, b] = [trial(wide), trial(narrow)];
  let ratio = Number.NaN;
  for (let round = 0; round < ROUNDS; round++) {
    const [ofWide, ofNarrow] = [a(), b()];
    if (!sameBytes(ofWide.result, ofNarrow.result))
      return "a known-answer test gave other bytes 256 bits wide than 128 bits wide";
    ratio = ofWide.seconds / ofNarrow.seconds;
    if (ratio <= SLOWEST) return null;
  }
  return `this engine does not merge vectors (a test step took ${ratio.toFixed(1)} times as long)`;
}

/** Rounds of forward, backward and AdamW, each with a curvature product at its end; seconds of the fastest step so far. */
function trial(core: CoreModule): () => { result: Float32Array[]; seconds: number } {
  const model = instantiateTransformer(core, SHAPE, { curvature: true });
  const { parameterCount } = model;
  model.setParameters(Float32Array.from({ length: parameterCount }, (_, i) => 0.2 * Math.sin(i * 12.9898)));
  const batch = {
    tokens: Int32Array.from({ length: SEQUENCES * SHAPE.nCtx }, (_, i) => (i * i + i) % SHAPE.dVocab),
    batchSize: SEQUENCES,
    length: SHAPE.nCtx,
    positions: Int32Array.from(POSITIONS),
    targets: Int32Array.from({ length: SEQUENCES * POSITIONS.length }, (_, i) => (i * 5) % SHAPE.dVocab),
  };
  const adamw = { learningRate: 1e-3, weightDecay: 0.1, beta1: 0.9, beta2: 0.98, epsilon: 1e-8 };
  let step = 0;
  let seconds = Number.POSITIVE_INFINITY;
  return () => {
    for (const last = step + STEPS; step < last; ) {
      const started = performance.now();
      model.trainStep(batch, { ...adamw, step: ++step });
      seconds = Math.min(seconds, (performance.now() - started) / 1000);
    }
    const parameters = model.getParameters();
    return { result: [parameters, model.hessianVectorProduct(batch, parameters)], seconds };
  };
}

/** NaN is equal to itself, 0 is not equal to -0. */
function sameBytes(a: readonly Float32Array[], b: readonly Float32Array[]): boolean {
  return a.every((array, i) => array.every((value, j) => Object.is(value, b[i][j])));
}
