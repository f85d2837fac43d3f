/** The Laplace approximation as a posterior: a Gaussian around a checkpoint, over all parameters or the last layer. */

import { termsOf } from "../../core/batch.ts";
import { type Batch, type PredictiveModel, requireCurvature } from "../../curvature/model.ts";
import type { Vector } from "../../curvature/vector.ts";
import type { RandomGenerator } from "../../random.ts";
import type { Safetensors, Tensor } from "../../safetensors.ts";
import { refuse, requireCount, requireLength, requireOneOf } from "../../validate.ts";
import type { Curvature } from "../gaussian/curvature.ts";
import { Gaussian } from "../gaussian/gaussian.ts";
import { curvatureFromTensors, curvatureTensors, vectorTensor } from "../gaussian/tensors.ts";
import { type Posterior, type PredictOptions, predictWith, requireSameModel } from "../posterior.ts";
import { jsonOf, parametersOf } from "../saved.ts";
import { logEvidence } from "./evidence.ts";
import { logitVariance } from "./last-layer.ts";
import { probit, shiftedSoftmax, unembed } from "./predictive.ts";

export const SUBSETS = ["lastLayer", "all"] as const;
/** The parameters that a Laplace posterior is over. */
export type SubsetOfWeights = (typeof SUBSETS)[number];
export const STRUCTURES = ["full", "diag", "kron", "lowRank", "matrixFree"] as const;
/** How the curvature is stored. */
export type HessianStructure = (typeof STRUCTURES)[number];

/** How a Laplace posterior predicts. */
export interface LaplacePredictOptions extends PredictOptions {
  /**
   * `glm` (default) linearises the logits in the parameters, f + J dtheta; `nn` runs the network at drawn parameters,
   * which around a sharp optimum leaves the region where the Gaussian holds. For the last layer both are the same.
   */
  predType?: "glm" | "nn";
  /** `mc` (default) gives S draws; `probit` one averaged predictive. `probit` goes with `glm` only. */
  linkApprox?: "mc" | "probit";
}

export interface LaplaceFields {
  /** The whole checkpoint, flat. */
  mean: Float32Array;
  subsetOfWeights: SubsetOfWeights;
  hessianStructure: HessianStructure;
  /** First parameter of the subset, which is contiguous in the flat vector. */
  offset: number;
  tiedEmbeddings: boolean;
  /** N x mean GGN, over the subset. */
  curvature: Curvature;
  priorPrecision: number;
  /** log p(D | theta*) = -N x mean NLL, nats. */
  logLikelihood: number;
  /** N, number of terms of the likelihood. */
  trainingTerms: number;
  /** What the fit itself found to speak against it. Absent in files of earlier versions. */
  warnings?: readonly string[];
}

export class LaplacePosterior implements Posterior {
  readonly method = "laplace";
  readonly fields: Readonly<LaplaceFields>;
  readonly gaussian: Gaussian;

  /** @throws RangeError unless the prior precision is positive and the curvature is that of a part of the checkpoint */
  constructor(fields: LaplaceFields) {
    const { mean, offset, curvature, subsetOfWeights } = fields;
    requireOneOf("subsetOfWeights", subsetOfWeights, SUBSETS);
    if (subsetOfWeights === "all") requireLength("mean", mean, curvature.size);
    if (!(offset >= 0 && offset + curvature.size <= mean.length))
      refuse("offset", offset, `such that ${curvature.size} of the ${mean.length} parameters follow`);
    this.fields = fields;
    this.gaussian = new Gaussian(fields.curvature, fields.priorPrecision);
  }

  get parameterCount(): number {
    return this.fields.mean.length;
  }

  /** |theta*|^2 over the subset. */
  get squaredNorm(): number {
    const { mean, offset, curvature } = this.fields;
    return mean.subarray(offset, offset + curvature.size).reduce((sum, x) => sum + x * x, 0);
  }

  /** What speaks against the fit and its evidence, in words; empty where nothing does. */
  get warnings(): readonly string[] {
    const { curvature, priorPrecision, warnings = [] } = this.fields;
    if (priorPrecision >= curvature.resolution) return warnings;
    const [delta, noise] = [priorPrecision, curvature.resolution].map((x) => x.toPrecision(3));
    return [
      ...warnings,
      `prior precision ${delta} is below ${noise}, what rounding leaves of the curvature: directions between the two count as not determined by the data`,
    ];
  }

  /** Log evidence, nats, at the posterior's prior precision or another. */
  logMarginalLikelihood(priorPrecision = this.fields.priorPrecision): number {
    return logEvidence({ ...this.fields, squaredNorm: this.squaredNorm }, priorPrecision);
  }

  /** The same curvature under another prior, and what speaks against that besides. */
  withPriorPrecision(priorPrecision: number, warnings: readonly string[] = []): LaplacePosterior {
    return new LaplacePosterior({
      ...this.fields,
      priorPrecision,
      warnings: [...(this.fields.warnings ?? []), ...warnings],
    });
  }

  /** @throws RangeError for the last layer with tied embeddings, where only the use as unembedding varies */
  sample(rng: RandomGenerator): Float32Array {
    const { mean, offset, subsetOfWeights, tiedEmbeddings } = this.fields;
    if (subsetOfWeights === "lastLayer" && tiedEmbeddings) {
      refuse(
        "subsetOfWeights",
        "lastLayer with tiedEmbeddings",
        "all or untied for draws that are parameter vectors (the input embedding stays fixed); use predict",
      );
    }
    const draw = mean.slice();
    const change = this.gaussian.sample(rng);
    for (let i = 0; i < change.length; i++) draw[offset + i] += change[i];
    return draw;
  }

  predict(
    model: PredictiveModel,
    batch: Batch,
    { nSamples, rng, predType = "glm", linkApprox = "mc" }: LaplacePredictOptions,
  ): Float32Array[] {
    requireCount("nSamples", nSamples);
    requireSameModel(this, model);
    requireOneOf("predType", predType, ["glm", "nn"]);
    requireOneOf("linkApprox", linkApprox, ["mc", "probit"]);
    const { mean, subsetOfWeights } = this.fields;
    const { dVocab } = model.shape;
    if (predType === "nn" && linkApprox === "probit")
      refuse("linkApprox", linkApprox, "mc when predType is nn");
    if (predType === "nn" && subsetOfWeights === "all")
      return Array.from({ length: nSamples }, () => predictWith(model, this.sample(rng), batch));
    model.setParameters(mean);
    const logits = model.logits(batch);
    if (linkApprox === "probit")
      return [probit(logits, this.logitVariance(model, batch, { nSamples, rng }), dVocab)];
    const change = this.#logitChanges(model, batch, rng);
    return Array.from({ length: nSamples }, () => shiftedSoftmax(logits, change(), dVocab));
  }

  /**
   * Variances of the linearised logits, (B, P, V): exact for the last layer, from `nSamples` draws of J dtheta
   * otherwise.
   * @throws RangeError if the model has another number of parameters
   */
  logitVariance(model: PredictiveModel, batch: Batch, { nSamples, rng }: PredictOptions): Float64Array {
    const { mean, subsetOfWeights, curvature, priorPrecision } = this.fields;
    const { dVocab, dModel } = model.shape;
    requireCount("nSamples", nSamples);
    requireSameModel(this, model);
    model.setParameters(mean);
    if (subsetOfWeights === "lastLayer") {
      const features = Float64Array.from(model.features(batch));
      const data = { terms: termsOf(batch), classes: dVocab, width: dModel, features };
      return logitVariance(data, curvature, priorPrecision);
    }
    const change = this.#logitChanges(model, batch, rng);
    const variance = new Float64Array(termsOf(batch) * dVocab);
    // The mean of J dtheta is known to be 0: no degree of freedom is lost to it.
    for (let s = 0; s < nSamples; s++) {
      const f = change();
      for (let i = 0; i < variance.length; i++) variance[i] += f[i] ** 2 / nSamples;
    }
    return variance;
  }

  /** Draws of J dtheta, (B, P, V). */
  #logitChanges(model: PredictiveModel, batch: Batch, rng: RandomGenerator): () => Vector {
    if (this.fields.subsetOfWeights === "all") {
      requireCurvature(model);
      return () => model.jacobianVectorProduct(batch, this.gaussian.sample(rng));
    }
    const features = model.features(batch);
    return () => unembed(features, this.gaussian.sample(rng), model.shape.dModel);
  }

  /** @throws RangeError for the matrix-free structure */
  save(): Safetensors {
    const { mean, curvature, ...rest } = this.fields;
    return {
      metadata: { method: this.method, laplace: JSON.stringify(rest) },
      tensors: new Map<string, Tensor>([
        ["mean", vectorTensor(mean)],
        ...curvatureTensors(curvature, "curvature"),
      ]),
    };
  }

  /** @throws RangeError if it is not a saved Laplace posterior */
  static load(saved: Safetensors): LaplacePosterior {
    const rest = jsonOf(saved, "laplace") as Omit<LaplaceFields, "mean" | "curvature">;
    return new LaplacePosterior({
      ...rest,
      mean: parametersOf(saved, "mean"),
      curvature: curvatureFromTensors(saved.tensors, "curvature"),
    });
  }
}
