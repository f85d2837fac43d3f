/** What a checkpoint says by itself: the norm of the weights, and how many directions they use. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { EVD, Matrix } from "ml-matrix";
import { decodeSafetensors } from "../../dist/index.js";

/** null where no checkpoint was kept. Norm: mean over members; rank: of the last block of the first member. */
export function weightsAt(directory, step) {
  const folder = join(directory, "checkpoints", `step-${String(step).padStart(8, "0")}`);
  if (!existsSync(folder)) return null;
  const members = readdirSync(folder)
    .filter((name) => /^member-\d+\.safetensors$/.test(name))
    .sort()
    .map((name) => weightsOf(decodeSafetensors(readFileSync(join(folder, name))).tensors));
  const norms = members.map((weights) =>
    Math.sqrt(weights.reduce((sum, { data }) => data.reduce((all, value) => all + value * value, sum), 0)),
  );
  return {
    norm: norms.reduce((sum, norm) => sum + norm, 0) / norms.length,
    effectiveRank: effectiveRank(members[0]),
  };
}

/** Parameters, without what else a checkpoint may hold for a posterior. */
const weightsOf = (tensors) =>
  [...tensors]
    .filter(([name]) => /^(transformer|lm_head)\./.test(name))
    .map(([name, tensor]) => ({ ...tensor, block: Number(/\.h\.(\d+)\./.exec(name)?.[1] ?? -1) }));

/** exp(entropy of the shares of the squared singular values) over how many there are: mean over the matrices. */
function effectiveRank(weights) {
  const last = Math.max(...weights.map(({ block }) => block));
  const shares = weights
    .filter(({ shape, block }) => shape.length === 2 && block === last)
    .map(({ shape: [rows, columns], data }) => {
      const matrix = Matrix.from1DArray(rows, columns, data);
      const gram = rows <= columns ? matrix.mmul(matrix.transpose()) : matrix.transpose().mmul(matrix);
      const squares = new EVD(gram, { assumeSymmetric: true }).realEigenvalues.map((value) =>
        Math.max(0, value),
      );
      const total = squares.reduce((sum, value) => sum + value, 0);
      const entropy = squares.reduce(
        (sum, value) => sum - (value > 0 ? (value / total) * Math.log(value / total) : 0),
        0,
      );
      return Math.exp(entropy) / squares.length;
    });
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}
