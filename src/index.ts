/**
 * epigrok: ensembles of small transformers on in-context modular arithmetic, their epistemic uncertainty through
 * training, and grokking told without labels.
 */
export type { PosteriorRecord } from "./analysis/posterior-job.ts";
export { type PosteriorOptions, runPosteriors } from "./analysis/posteriors.ts";
export { runSpectra, type SpectrumOptions } from "./analysis/spectra.ts";
export type { SpectrumRecord } from "./analysis/spectrum-job.ts";
export { type Config, type ConfigInput, configSchema } from "./config/schema.ts";
export {
  type AdamWStepOptions,
  type Batch,
  createTransformer,
  type DropoutKey,
  type IvonSampleOptions,
  type IvonStepOptions,
  type MathMode,
  type ParameterInfo,
  supportedMath,
  Transformer,
  type TransformerOptions,
  type TransformerShape,
} from "./core/index.ts";
export { UsageError } from "./errors.ts";
export * as posterior from "./posterior/index.ts";
export type { RunData } from "./report/read-run.ts";
export { readRun } from "./report/read-run.ts";
export { writeFigures, writeReport } from "./report/report.ts";
export { uncertaintyTrajectory } from "./run/events.ts";
export type * from "./run/records.ts";
export { type RunOptions, type RunOutcome, runEnsemble } from "./run/run.ts";
export { jensenShannon, regret, relativeDistance, totalVariation } from "./tasks/distances.ts";
export { exactPosterior, exactPredictive } from "./tasks/exact.ts";
export { TaskFamily } from "./tasks/family.ts";
export { createProbeSets, type ProbeSet } from "./tasks/probes.ts";
export { PromptSampler } from "./tasks/prompts.ts";
export * as theory from "./theory/index.ts";
export { estimateCost } from "./training/cost.ts";
export {
  accuracy,
  adaptiveCalibrationError,
  brierScore,
  expectedCalibrationError,
  negativeLogLikelihood,
} from "./uncertainty/calibration.ts";
export { type Decomposition, decompose } from "./uncertainty/decompose.ts";
export {
  type DetectorOptions,
  type DetectorState,
  detectGrokking,
  GrokkingDetector,
} from "./uncertainty/detector.ts";
export type * from "./uncertainty/measures.ts";
export { ensembleMeasures, predictiveMeasures } from "./uncertainty/measures.ts";
export { inWords } from "./uncertainty/wording.ts";
