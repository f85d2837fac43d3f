/** Curvature operators, their spectra, and approximate posteriors over the parameters. */

export {
  blockOperator,
  curvatureByGroup,
  type GroupCurvature,
  type GroupCurvatureOptions,
} from "../curvature/by-group.ts";
export { type Grouping, type ParameterGroup, parameterGroups } from "../curvature/groups.ts";
export {
  applyFunction,
  type Eigenpairs,
  extremeEigenpairs,
  type SpectralDensity,
  smoothDensity,
  spectralDensity,
  spectralTrace,
} from "../curvature/lanczos.ts";
export { LangevinChain, type LangevinOptions } from "../curvature/langevin.ts";
export {
  type ChainDiagnostics,
  estimateLearningCoefficient,
  type LearningCoefficient,
  type LearningCoefficientOptions,
  learningCoefficient,
} from "../curvature/llc.ts";
export {
  type CurvatureModel,
  meanLoss,
  meanLossAndGradient,
  type PredictiveModel,
  totalTerms,
} from "../curvature/model.ts";
export {
  checkDeterminism,
  denseMatrix,
  type FisherOptions,
  fisherOperator,
  ggnOperator,
  hessianOperator,
  type LinearOperator,
  matrixOperator,
  scaledOperator,
} from "../curvature/operators.ts";
export { hutchinsonDiagonal, hutchinsonTrace, hutchPlusPlusTrace } from "../curvature/trace.ts";
export { type RandomGenerator, stream } from "../random.ts";
export type { IvonCurvature } from "../training/ivon.ts";
export { recentBatches } from "../training/recent-batches.ts";
export { peakChange } from "./continue-training.ts";
export { EmpiricalPosterior } from "./empirical.ts";
export {
  checkpointDigest,
  decodePosterior,
  encodePosterior,
  type PosteriorOrigin,
  type SavedPosterior,
} from "./file.ts";
export { fitAndPredict, type PosteriorRequest, type PosteriorResult } from "./fit-and-predict.ts";
export { BlockCurvature } from "./gaussian/block.ts";
export type { Curvature } from "./gaussian/curvature.ts";
export { DiagonalCurvature } from "./gaussian/diagonal.ts";
export { Gaussian } from "./gaussian/gaussian.ts";
export { KroneckerCurvature } from "./gaussian/kronecker.ts";
export { MatrixFreeCurvature } from "./gaussian/matrix-free.ts";
export type { GroupedPrior, PriorStructure } from "./gaussian/prior.ts";
export { SpectralCurvature } from "./gaussian/spectral.ts";
export { logEvidence, logEvidenceSlope, maximiseEvidence } from "./laplace/evidence.ts";
export { fitLaplace } from "./laplace/fit.ts";
export {
  groupedEvidenceSlope,
  logGroupedEvidence,
  maximiseGroupedEvidence,
} from "./laplace/grouped-evidence.ts";
export {
  type HessianStructure,
  LaplacePosterior,
  type LaplacePredictOptions,
  type SubsetOfWeights,
} from "./laplace/laplace.ts";
export { lastLayerGradients } from "./laplace/last-layer.ts";
export type { HeldOutChoice, LaplaceOptions } from "./laplace/options.ts";
export { loadPosterior } from "./load.ts";
export { DropoutPosterior } from "./methods/dropout.ts";
export { type MethodOptions, POSTERIOR_METHODS, type PosteriorMethod } from "./methods/index.ts";
export { IvonPosterior, ivonPosterior } from "./methods/ivon.ts";
export { fitSgld, type SgldChainOptions } from "./methods/sgld.ts";
export { SwagCollector, SwagPosterior } from "./methods/swag.ts";
export { MixturePosterior } from "./mixture.ts";
export type { Posterior, PredictOptions } from "./posterior.ts";
