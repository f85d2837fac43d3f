/**
 * The Bayesian linear teacher-student model: exact finite-size dynamics, Marchenko-Pastur asymptotics, and the times at
 * which it groks and its uncertainty collapses.
 */
export {
  criticalHalfTime,
  criticalPhi,
  criticalPsi,
  delayAsymptote,
  elboPeakAsymptote,
  informationLimit,
  informationPlateau,
  thresholdTimes,
} from "./asymptotics.ts";
export type { Broadcast, Curves, Values } from "./broadcast.ts";
export {
  type CovarianceFlowInput,
  choleskyTrace,
  covarianceFlow,
  naturalGradient,
  type Parametrisation,
  parametrisations,
} from "./covariance-flow.ts";
export { dataSetEnsemble, initEnsemble } from "./ensembles.ts";
export { type FinitePriorInput, finitePrior } from "./finite-prior.ts";
export {
  type FixedNoiseField,
  type FixedNoiseParameters,
  fixedNoise,
  fixedNoiseLimit,
} from "./fixed-noise.ts";
export { labelNoisePeak, labelNoiseVariance, posteriorTrace } from "./lambda-view.ts";
export {
  elboNoise,
  type LearnedNoiseField,
  type LearnedNoiseParameters,
  residualNoise,
} from "./learned-noise.ts";
export type { NoiseMode } from "./modes.ts";
export { type Covariance, type RegressionInput, trainRegression } from "./regression.ts";
export {
  type Simulation,
  type SimulationCurves,
  type SimulationField,
  type SimulationInput,
  sampleSpectra,
  simulate,
} from "./simulate.ts";
export { maxStepSize, resolvent, spectral } from "./spectral.ts";
export {
  accuracy,
  collapseTimes,
  fixedNoiseTimes,
  learnedNoiseTimes,
  lossThreshold,
  peakTimes,
  times,
} from "./times.ts";
