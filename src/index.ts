/**
 * epigrok: ensembles of small transformers on in-context modular arithmetic, their epistemic uncertainty through
 * training, and grokking told without labels.
 *
 * The approximate posteriors are in `epigrok/posterior`, the linear model's mathematics in `epigrok/theory` (here also as
 * `theory`). Nothing else is public.
 */

export { UsageError } from "./errors.ts";
export * as theory from "./theory/index.ts";

// A model in the numeric core, and the methods that its options add.

export {
  type AdamWTraining,
  type Batch,
  type CurvatureProducts,
  createTransformer,
  enableWideSimd,
  type IvonTraining,
  type KroneckerFactors,
  type MathMode,
  type Transformer,
  type TransformerOptions,
  type TransformerShape,
  type TransformerWith,
} from "./core/index.ts";

// Settings, and an ensemble trained with them.

export { createConfig, listPresets } from "./config/presets.ts";
export { type Config, type ConfigInput, configSchema } from "./config/schema.ts";
export { type RunOptions, type RunOutcome, runEnsemble } from "./run/run.ts";

// Grids of runs.

export type { SweepInput } from "./sweep/definition.ts";
export type { SweepObserver } from "./sweep/observer.ts";
export { runSweep, type SweepOptions } from "./sweep/sweep.ts";
export type { SweepOutcome } from "./sweep/work.ts";

// What a run leaves, and what can be made of it.

export { type PosteriorOptions, runPosteriors } from "./analysis/posteriors.ts";
export { runSpectra, type SpectrumOptions } from "./analysis/spectra.ts";
export { type ExportOptions, exportData } from "./export/export.ts";
export type { ExportFormat } from "./export/formats.ts";
export { type RunData, readRun } from "./report/read-run.ts";
export { writeFigures, writeReport, writeSweepReport } from "./report/report.ts";
export { ForeignRunError, MissingRunError } from "./run/errors.ts";
export {
  loadCheckpoint,
  readStoredCheckpoint as readCheckpoint,
  type StoredCheckpoint,
} from "./run/load-checkpoint.ts";
export type { MetricsRecord, RunSummary } from "./run/records.ts";

// What predictions without labels say, of a run or of any program.

export type { NumberArray } from "./diagnosis/arrays.ts";
export {
  type DiagnoseOptions,
  Diagnosis,
  type DiagnosisResult,
  type DiagnosisSettings,
  diagnose,
  type Evaluation,
  type EvaluationDiagnosis,
} from "./diagnosis/diagnose.ts";

// Files of tensors, of runs and of other programs.

export { decodeSafetensors, type Safetensors } from "./safetensors.ts";

// Prompts, and what an exact Bayesian predicts for them.

export { exactPosterior, exactPredictive } from "./tasks/exact.ts";
export { createProbeSets, type ProbeSet } from "./tasks/probes.ts";

// Measures of predictions, and what their uncertainty says without labels.

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
export { jensenShannon, regret, totalVariation } from "./uncertainty/distances.ts";
export { type EnsembleMeasures, ensembleMeasures } from "./uncertainty/measures.ts";
export type { UncertaintyObservation } from "./uncertainty/observation.ts";
export { inWords } from "./uncertainty/wording.ts";
