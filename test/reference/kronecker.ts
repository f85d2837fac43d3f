/** Kronecker factors of the Gauss-Newton matrix in float64, one sequence and one vector at a time. For tests only. */
import { part } from "./part.ts";
import { randomSign } from "./philox.ts";
import { type ReferenceBatch, type ReferenceTransformer, UNEMBEDDING } from "./transformer.ts";

type Vectors = "exact" | { probes: number; seed: number; stream: number };

export type ReferenceFactors =
  | { name: string; left: Float64Array; right: Float64Array; terms: number }
  | { name: string; squares: Float64Array };

const range = (n: number) => Array.from({ length: n }, (_, i) => i);

/**
 * Vectors (B, P, V): one for each prediction and column of diag(sqrt p) - p sqrt(p)', 0 at the other predictions; or one
 * for each probe, that root times random signs at every prediction, over sqrt(probes).
 */
export function backpropagatedVectors(
  logits: Float64Array,
  classes: number,
  perSequence: number,
  vectors: Vectors,
): Float64Array[] {
  const rooted = (z: (row: number, c: number) => number): Float64Array => {
    const out = new Float64Array(logits.length);
    for (let row = 0; row < logits.length / classes; row++) {
      const f = logits.subarray(row * classes, (row + 1) * classes);
      const max = Math.max(...f);
      const total = f.reduce((sum, x) => sum + Math.exp(x - max), 0);
      const p = f.map((x) => Math.exp(x - max) / total);
      const inner = p.reduce((sum, x, c) => sum + Math.sqrt(x) * z(row, c), 0);
      p.forEach((x, c) => {
        out[row * classes + c] = Math.sqrt(x) * z(row, c) - x * inner;
      });
    }
    return out;
  };
  if (vectors === "exact")
    return range(perSequence).flatMap((at) =>
      range(classes).map((column) => rooted((row, c) => (row % perSequence === at && c === column ? 1 : 0))),
    );
  return range(vectors.probes).map((probe) =>
    rooted((row, c) => randomSign(row, c, { ...vectors, probe }) / Math.sqrt(vectors.probes)),
  );
}

/** One entry a tensor in flat order; with tied embeddings the use as unembedding comes last. */
export function referenceFactors(
  reference: ReferenceTransformer,
  params: Float64Array,
  batch: ReferenceBatch,
  vectors: Vectors,
): ReferenceFactors[] {
  const { dVocab, dModel, nLayers, tiedEmbeddings } = reference.shape;
  const { length, positions, batchSize } = batch;
  const rowsOf = (use: string) => {
    const narrow = new RegExp(`^transformer\\.h\\.${nLayers - 1}\\.(attn\\.o|mlp\\.\\w+)\\.weight$`);
    if (use === UNEMBEDDING) return range(positions.length);
    return narrow.test(use) ? [...positions] : range(length);
  };
  const uses = reference.parameters.map(({ name, shape, offset }) => ({ name, use: name, shape, offset }));
  if (tiedEmbeddings) uses.push({ name: uses[0].name, use: UNEMBEDDING, shape: [dVocab, dModel], offset: 0 });
  const sums = new Map(
    uses.map(({ name, use, shape: [rows, columns] }): [string, ReferenceFactors] => [
      use,
      columns === undefined
        ? { name, squares: new Float64Array(rows) }
        : {
            name,
            left: new Float64Array(rows ** 2),
            right: new Float64Array(columns ** 2),
            terms: batchSize * rowsOf(use).length,
          },
    ]),
  );
  const all = backpropagatedVectors(reference.logits(params, batch), dVocab, positions.length, vectors);
  const perSequence = positions.length * dVocab;
  for (let b = 0; b < batchSize; b++) {
    const one = part(batch, b, 1);
    all.forEach((vector, s) => {
      const cotangent = vector.slice(b * perSequence, (b + 1) * perSequence);
      const gradient = reference.vectorJacobianProduct(params, one, cotangent, (use, t, input, dOutput) => {
        const sum = sums.get(use)!;
        if (!("left" in sum)) throw new Error(`${use} is no matrix`);
        if (!rowsOf(use).includes(t)) {
          if (dOutput.some((x) => x !== 0)) throw new Error(`row ${t} of ${use} reaches a prediction`);
          return;
        }
        const embeds = use === "transformer.wte.weight" || use === "transformer.wre.weight";
        addOuter(embeds ? sum.right : sum.left, dOutput);
        if (s === 0) addOuter(embeds ? sum.left : sum.right, input);
      });
      for (const { use, shape, offset } of uses) {
        const sum = sums.get(use)!;
        if ("squares" in sum) for (let i = 0; i < shape[0]; i++) sum.squares[i] += gradient[offset + i] ** 2;
      }
    });
  }
  return uses.map(({ use }) => sums.get(use)!);
}

function addOuter(sum: Float64Array, x: Float64Array): void {
  x.forEach((xi, i) => {
    x.forEach((xj, j) => {
      sum[i * x.length + j] += xi * xj;
    });
  });
}
