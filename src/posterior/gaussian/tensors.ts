/** Curvature structures as named tensors and back. The names tell the structure. */
import type { Tensor } from "../../safetensors.ts";
import { BlockCurvature } from "./block.ts";
import type { Curvature } from "./curvature.ts";
import { DiagonalCurvature } from "./diagonal.ts";
import { Factor, KroneckerCurvature } from "./kronecker.ts";
import { SpectralCurvature } from "./spectral.ts";

export type Tensors = ReadonlyMap<string, Tensor>;

export function vectorTensor(data: Float32Array | Float64Array): Tensor {
  return { shape: [data.length], data };
}

function matrixTensor(rows: readonly Float64Array[]): Tensor {
  const columns = rows[0]?.length ?? 0;
  const data = new Float64Array(rows.length * columns);
  rows.forEach((row, i) => {
    data.set(row, i * columns);
  });
  return { shape: [rows.length, columns], data };
}

function rowsOf({ shape, data }: Tensor): Float64Array[] {
  const [rows, columns] = shape;
  return Array.from({ length: rows }, (_, i) =>
    Float64Array.from((data as Float64Array).subarray(i * columns, (i + 1) * columns)),
  );
}

/** @throws RangeError if it is missing or of another type */
export function float64Tensor(tensors: Tensors, name: string): Tensor & { data: Float64Array } {
  const tensor = tensors.get(name);
  if (!(tensor?.data instanceof Float64Array))
    throw new RangeError(`saved posterior without float64 tensor ${name}`);
  return tensor as Tensor & { data: Float64Array };
}

/** @throws RangeError for a matrix-free curvature, which holds no numbers to save */
export function curvatureTensors(curvature: Curvature, prefix: string): [string, Tensor][] {
  if (curvature instanceof DiagonalCurvature) return [[`${prefix}.values`, vectorTensor(curvature.values)]];
  if (curvature instanceof SpectralCurvature) {
    return [
      [`${prefix}.eigenvalues`, vectorTensor(curvature.eigenvalues)],
      [`${prefix}.eigenvectors`, matrixTensor(curvature.eigenvectors)],
      [`${prefix}.remainder`, vectorTensor(Float64Array.of(curvature.remainder))],
      [`${prefix}.noise`, vectorTensor(Float64Array.of(curvature.noise))],
    ];
  }
  if (curvature instanceof KroneckerCurvature) {
    return (["left", "right"] as const).flatMap((side): [string, Tensor][] => {
      const { values, vectors, size, noise } = curvature[side];
      return [
        [`${prefix}.${side}.values`, vectorTensor(values)],
        [`${prefix}.${side}.vectors`, { shape: [size, size], data: vectors }],
        [`${prefix}.${side}.noise`, vectorTensor(Float64Array.of(noise))],
      ];
    });
  }
  if (curvature instanceof BlockCurvature)
    return curvature.blocks.flatMap((block, i) => curvatureTensors(block, `${prefix}.${i}`));
  throw new RangeError(
    "hessianStructure: got matrixFree, which cannot be saved; use lowRank to keep eigenpairs",
  );
}

/** @throws RangeError if the tensors under this prefix are not a complete structure */
export function curvatureFromTensors(tensors: Tensors, prefix: string): Curvature {
  const has = (suffix: string) => tensors.has(`${prefix}.${suffix}`);
  const get = (suffix: string) => float64Tensor(tensors, `${prefix}.${suffix}`);
  // Files of early versions do not say it.
  const noiseOf = (part: string) => (has(`${part}noise`) ? get(`${part}noise`).data[0] : 0);
  if (has("values")) return new DiagonalCurvature(get("values").data);
  if (has("eigenvalues"))
    return new SpectralCurvature(
      get("eigenvalues").data,
      rowsOf(get("eigenvectors")),
      get("remainder").data[0],
      noiseOf(""),
    );
  if (has("left.values")) {
    const factor = (side: string) =>
      new Factor(
        { eigenvalues: get(`${side}.values`).data, eigenvectors: rowsOf(get(`${side}.vectors`)) },
        noiseOf(`${side}.`),
      );
    return new KroneckerCurvature(factor("left"), factor("right"));
  }
  const blocks: Curvature[] = [];
  const nameStart = (i: number) => `${prefix}.${i}.`;
  while ([...tensors.keys()].some((name) => name.startsWith(nameStart(blocks.length))))
    blocks.push(curvatureFromTensors(tensors, `${prefix}.${blocks.length}`));
  if (blocks.length === 0) throw new RangeError(`saved posterior without the tensors of ${prefix}`);
  return new BlockCurvature(blocks);
}
