/** The Laplace approximation as a posterior: a Gaussian around a checkpoint, over all parameters or the last layer. */

import { termsOf } from "../../core/batch.ts";
import type { ParameterGroup } from "../../curvature/groups.ts";
import { type Batch, type PredictiveModel, requireCurvature } from "../../curvature/model.ts";
import { addScaled, type Vector } from "../../curvature/vector.ts";
import type { RandomGenerator } from "../../random.ts";
import type { Safetensors, Tensor } from "../../safetensors.ts";
import {
  refuse,
  requireCount,
  requireFinite,
  requireKept,
  requireKeys,
  requireLength,
  requireObject,
  requireOneOf,
  requireTypedArray,
} from "../../validate.ts";
import { type Curvature, requireStructure } from "../gaussian/curvature.ts";
import { Gaussian } from "../gaussian/gaussian.ts";
import { type GroupedPrior, meanPrecision, singleParameters } from "../gaussian/prior.ts";
import { type Projection, projectionOf } from "../gaussian/projection.ts";
import { curvatureFromTensors, curvatureTensors, float64Tensor, vectorTensor } from "../gaussian/tensors.ts";
import { type Posterior, type PredictOptions, predictWith, requireSameModel } from "../posterior.ts";
import { jsonOf, parametersOf } from "../saved.ts";
import { logEvidence } from "./evidence.ts";
import { logGroupedEvidence } from "./grouped-evidence.ts";
import { drawnSoftmax, normalVectors, probit, shiftedSoftmax, unembed } from "./predictive.ts";

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
   * which around a sharp optimum leaves the region where the Gaussian holds. For the last layer both are the same, but
   * that `glm` draws the logits of each prediction from their own Gaussian where this is faster: in a draw predictions
   * then share standard normal numbers and not weights, which no measure of single predictions can tell.
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
  /** delta; of a `prior` with several the geometric mean over the parameters. */
  priorPrecision: number;
  /** Where the prior precision is not the same for all parameters. */
  prior?: GroupedPrior;
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
    const { mean, offset, curvature, subsetOfWeights } = requireObject("fields", fields);
    requireStructure(curvature);
    requireTypedArray("mean", mean, "Float32Array");
    for (const name of ["logLikelihood", "trainingTerms"] as const) requireFinite(name, fields[name]);
    requireOneOf("subsetOfWeights", subsetOfWeights, SUBSETS);
    if (subsetOfWeights === "all") requireLength("mean", mean, curvature.size);
    if (!(offset >= 0 && offset + curvature.size <= mean.length))
      refuse("offset", offset, `such that ${curvature.size} of the ${mean.length} parameters follow`);
    this.fields = fields;
    this.gaussian = new Gaussian(fields.curvature, fields.prior ?? fields.priorPrecision);
  }

  get parameterCount(): number {
    return this.fields.mean.length;
  }

  /** |theta*|^2 over the subset. */
  get squaredNorm(): number {
    const { offset, curvature } = this.fields;
    return this.#squaredNorm(offset, curvature.size);
  }

  /** |theta*|^2 of each group. */
  squaredNorms(groups: readonly ParameterGroup[]): Float64Array {
    return Float64Array.from(groups, ({ offset, length }) =>
      this.#squaredNorm(this.fields.offset + offset, length),
    );
  }

  #squaredNorm(offset: number, length: number): number {
    return this.fields.mean.subarray(offset, offset + length).reduce((sum, x) => sum + x * x, 0);
  }

  /** What speaks against the fit and its evidence, in words; empty where nothing does. */
  get warnings(): readonly string[] {
    const { curvature, priorPrecision, prior, warnings = [] } = this.fields;
    const below = (delta: number, resolution: number, of = ""): string[] => {
      if (delta >= resolution) return [];
      const [given, noise] = [delta, resolution].map((x) => x.toPrecision(3));
      return [
        `prior precision ${given}${of} is below ${noise}, what rounding leaves of the curvature: directions between the two count as not determined by the data`,
      ];
    };
    if (!prior) return [...warnings, ...below(priorPrecision, curvature.resolution)];
    if (curvature.resolution === 0) return warnings;
    const ofGroups = prior.groups.flatMap(({ name, offset, length }, g) => {
      const { resolution } = curvature.part(offset, length) ?? curvature;
      return below(prior.precisions[g], resolution, ` of ${name}`);
    });
    return [...warnings, ...ofGroups];
  }

  /** Log evidence, nats, at the posterior's prior or another. */
  logMarginalLikelihood(
    prior: number | GroupedPrior = this.fields.prior ?? this.fields.priorPrecision,
  ): number {
    if (typeof prior === "number")
      return logEvidence({ ...this.fields, squaredNorm: this.squaredNorm }, prior);
    const { groups, precisions } = prior;
    return logGroupedEvidence(
      { ...this.fields, groups, squaredNorms: this.squaredNorms(groups) },
      precisions,
    );
  }

  /** The same curvature under another prior, and what speaks against that besides. */
  withPriorPrecision(priorPrecision: number, warnings: readonly string[] = []): LaplacePosterior {
    return this.#with({ priorPrecision, prior: undefined }, warnings);
  }

  /** The same with a prior precision for each of several groups. */
  withPrior(prior: GroupedPrior, warnings: readonly string[] = []): LaplacePosterior {
    return this.#with({ priorPrecision: meanPrecision(prior), prior }, warnings);
  }

  #with(
    change: Pick<LaplaceFields, "priorPrecision" | "prior">,
    warnings: readonly string[],
  ): LaplacePosterior {
    return new LaplacePosterior({
      ...this.fields,
      ...change,
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

  predict(model: PredictiveModel, batch: Batch, options: LaplacePredictOptions): Float32Array[] {
    requireKeys("predict", options, ["nSamples", "rng", "predType", "linkApprox"]);
    const { nSamples, rng, predType = "glm", linkApprox = "mc" } = options;
    requireKept("nSamples", nSamples);
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
    if (predType === "glm" && subsetOfWeights === "lastLayer") {
      const { draws } = projectionOf(this.gaussian, dVocab, model.shape.dModel);
      if (draws) {
        const changes = draws(normalVectors(rng, nSamples, dVocab));
        const sizes = { rows: termsOf(batch), classes: dVocab, count: nSamples };
        return drawnSoftmax(logits, model.features(batch), changes, sizes);
      }
    }
    const change = this.#logitChanges(model, batch, rng);
    return Array.from({ length: nSamples }, () => shiftedSoftmax(logits, change(), dVocab));
  }

  /**
   * Variances of the linearised logits, (B, P, V): exact for the last layer, in microseconds a prediction where its
   * curvature is Kronecker-factored or diagonal, and without any draw; from `nSamples` draws of J dtheta otherwise.
   * @throws RangeError if the model has another number of parameters
   */
  logitVariance(model: PredictiveModel, batch: Batch, options: PredictOptions): Float64Array {
    return this.#logitMoments(model, batch, options, {
      each: model.shape.dVocab,
      exact: (projection, x) => projection.variances(x),
      add: (out, f, weight) => {
        for (let c = 0; c < out.length; c++) out[c] += weight * f[c] * f[c];
      },
    });
  }

  /**
   * Covariances of the linearised logits of each prediction, (B, P, V, V), as `logitVariance`.
   * @throws RangeError if the model has another number of parameters
   */
  logitCovariance(model: PredictiveModel, batch: Batch, options: PredictOptions): Float64Array {
    const { dVocab } = model.shape;
    return this.#logitMoments(model, batch, options, {
      each: dVocab ** 2,
      exact: (projection, x) => projection.covariance(x),
      add: (out, f, weight) => {
        for (let c = 0; c < dVocab; c++)
          addScaled(out.subarray(c * dVocab, (c + 1) * dVocab), weight * f[c], f);
      },
    });
  }

  /** `each` numbers a prediction: exact for the last layer, else summed over draws f (V) of J dtheta. */
  #logitMoments(
    model: PredictiveModel,
    batch: Batch,
    { nSamples, rng }: PredictOptions,
    { each, exact, add }: Moments,
  ): Float64Array {
    const { mean, subsetOfWeights } = this.fields;
    const { dVocab, dModel } = model.shape;
    requireCount("nSamples", nSamples);
    requireSameModel(this, model);
    model.setParameters(mean);
    const terms = termsOf(batch);
    const out = new Float64Array(terms * each);
    const place = (n: number) => out.subarray(n * each, (n + 1) * each);
    if (subsetOfWeights === "lastLayer") {
      const features = Float64Array.from(model.features(batch));
      const projection = projectionOf(this.gaussian, dVocab, dModel);
      for (let n = 0; n < terms; n++)
        place(n).set(exact(projection, features.subarray(n * dModel, (n + 1) * dModel)));
      return out;
    }
    const change = this.#logitChanges(model, batch, rng);
    // The mean of J dtheta is known to be 0: no degree of freedom is lost to it.
    for (let s = 0; s < nSamples; s++) {
      const f = change();
      for (let n = 0; n < terms; n++) add(place(n), f.subarray(n * dVocab, (n + 1) * dVocab), 1 / nSamples);
    }
    return out;
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
    const { mean, curvature, prior, ...rest } = this.fields;
    return {
      metadata: {
        method: this.method,
        laplace: JSON.stringify(rest),
        ...(prior && { prior: JSON.stringify(savedGroups(prior)) }),
      },
      tensors: new Map<string, Tensor>([
        ["mean", vectorTensor(mean)],
        ...curvatureTensors(curvature, "curvature"),
        ...(prior ? [["prior.precisions", vectorTensor(prior.precisions)] as const] : []),
      ]),
    };
  }

  /** @throws RangeError if it is not a saved Laplace posterior */
  static load(saved: Safetensors): LaplacePosterior {
    const rest = jsonOf(saved, "laplace") as Omit<LaplaceFields, "mean" | "curvature" | "prior">;
    // JSON has null for what is not finite.
    for (const name of ["offset", "logLikelihood", "trainingTerms", "priorPrecision"] as const)
      requireFinite(
        `${name} of a saved posterior`,
        requireObject("laplace of a saved posterior", rest)[name],
      );
    return new LaplacePosterior({
      ...rest,
      mean: parametersOf(saved, "mean"),
      curvature: curvatureFromTensors(saved.tensors, "curvature"),
      ...(saved.metadata.prior !== undefined && { prior: loadedPrior(saved) }),
    });
  }
}

/** Moments of the logits of a prediction. */
interface Moments {
  /** How many numbers. */
  each: number;
  exact: (projection: Projection, features: Float64Array) => Float64Array;
  /** out += weight x those of one draw f (V). */
  add: (out: Float64Array, f: Vector, weight: number) => void;
}

/** Groups of one parameter each are not written out. */
function savedGroups({ structure, groups }: GroupedPrior): Partial<GroupedPrior> {
  return structure === "diag" ? { structure } : { structure, groups };
}

function loadedPrior(saved: Safetensors): GroupedPrior {
  const { structure, groups } = jsonOf(saved, "prior") as Pick<GroupedPrior, "structure" | "groups">;
  const { data: precisions } = float64Tensor(saved.tensors, "prior.precisions");
  return {
    structure,
    groups: structure === "diag" ? singleParameters(precisions.length) : groups,
    precisions,
  };
}
