/** The curvature of the training loss around one checkpoint. */
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import { instantiateTransformer } from "../core/transformer.ts";
import { curvatureByGroup, type GroupCurvature } from "../curvature/by-group.ts";
import { type Grouping, parameterGroups } from "../curvature/groups.ts";
import { extremeEigenpairs, spectralDensity } from "../curvature/lanczos.ts";
import { DivergedChainError } from "../curvature/langevin.ts";
import {
  type ChainDiagnostics,
  failedDiagnostics,
  learningCoefficient,
  type Nullable,
} from "../curvature/llc.ts";
import { type CurvatureModel, totalTerms } from "../curvature/model.ts";
import { ggnOperator, hessianOperator } from "../curvature/operators.ts";
import { hutchPlusPlusTrace, type TraceEstimate } from "../curvature/trace.ts";
import { stream } from "../random.ts";
import { termsSeenAt } from "../training/loss-terms.ts";
import { transformerShape } from "../training/model.ts";
import { recentBatches } from "../training/recent-batches.ts";

export const OPERATORS = ["ggn", "hessian"] as const;
export type OperatorName = (typeof OPERATORS)[number];

export interface SpectrumJob {
  step: number;
  member: number;
  operator: OperatorName;
  /** Eigenvalues from the top. */
  k: number;
  /** Training batches that the loss is a mean over. */
  batches: number;
  /** Estimate the local learning coefficient as well. */
  estimateLlc: boolean;
  /** Each layer or block of the network by itself as well. */
  by?: Grouping;
}

export interface SpectrumRequest extends SpectrumJob {
  parameters: Float32Array;
}

export interface LearningCoefficientRecord {
  /** The estimate; null where a diagnostic fails, for the reasons in `failures`. */
  llc: number | null;
  /** Mean over the chains, an estimate only where `llc` is. Absent in earlier records, whose `llc` it is. */
  chainMean?: number;
  /** Why there is no estimate, in words. Absent in earlier records. */
  failures?: string[];
  stepSize: number;
  /** null for a single chain. */
  standardError: number | null;
  /** n, predictions in the batches, or in the prompt pool that they are a sample of, and n beta. */
  trainingTerms: number;
  nBeta: number;
  localisation: number;
  /** null: there are too few draws, or they do not vary. */
  diagnostics: Nullable<ChainDiagnostics>;
}

export interface SpectrumOutcome {
  /** Predictions that the loss is a mean over. */
  terms: number;
  parameters: number;
  /** Descending. */
  largest: number[];
  /** Largest residual |A u - lambda u| of these, as a fraction of the largest. Absent in earlier records. */
  residual?: number;
  /**
   * Whether all of them, and the smallest, met the tolerance, a thousandth of the largest magnitude, and a search found no
   * others beyond. If not, they are bounds: eigenvalues at least so far out.
   */
  converged: boolean;
  /** The most negative eigenvalue (or the smallest); null for the GGN, which has none below 0. */
  smallest: number | null;
  trace: TraceEstimate;
  /** Stochastic Lanczos quadrature: per random vector nodes (eigenvalues) and weights that sum to 1. */
  density: { nodes: number[]; weights: number[] }[];
  llc: LearningCoefficientRecord | null;
  /** Of each layer or block, if they were asked for. */
  groups?: GroupRecord[];
  seconds: number;
}

/** The curvature of a layer or block: the matrix restricted to its parameters. */
export interface GroupRecord extends Omit<GroupCurvature, "largest"> {
  /** Descending. */
  largest: number[];
}

/** A line of `spectrum.jsonl`. `settings` is the SHA-256 of everything else that the result depends on. */
export interface SpectrumRecord extends SpectrumJob, SpectrumOutcome {
  settings: string;
  /** SHA-256 of the checkpoint it was made of; absent from records of early versions. */
  inputs?: string;
}

const TOLERANCE = 1e-3;
const TRACE_PRODUCTS = 30;
const DENSITY = { probes: 2, steps: 40 };
/** Of each layer or block. */
const GROUP_EIGENVALUES = 3;
const LOCALISATION = 100;
const CHAINS = { chains: 2, burnIn: 100, draws: 200 };

/** @throws RangeError for parameters of another shape, or a k that is not in 1 .. parameters */
export function spectrumJob(
  { step, member, operator: name, k, batches, estimateLlc, by, parameters }: SpectrumRequest,
  { config, core }: { config: Config; core: CoreModule },
): SpectrumOutcome {
  const started = performance.now();
  const model = instantiateTransformer(core, transformerShape(config), {
    optimizer: "none",
    curvature: true,
  });
  model.setParameters(parameters);
  const data = recentBatches(config, member, step, batches);
  const operator = name === "ggn" ? ggnOperator(model, data) : hessianOperator(model, data);
  const rng = stream(config.seed, member, "spectrum", step);
  const top = extremeEigenpairs(operator, { k, rng, tolerance: TOLERANCE });
  const bottom =
    name === "hessian"
      ? extremeEigenpairs(operator, { k: 1, which: "smallest", rng, tolerance: TOLERANCE })
      : null;
  const trace = hutchPlusPlusTrace(operator, { products: TRACE_PRODUCTS, rng });
  const { quadratures } = spectralDensity(operator, { ...DENSITY, rng });
  const groups =
    by &&
    curvatureByGroup(operator, parameterGroups(model.parameters, by), {
      ...{ k: Math.min(k, GROUP_EIGENVALUES), smallest: name === "hessian" },
      ...{ tolerance: TOLERANCE, products: TRACE_PRODUCTS, rng },
    });
  return {
    terms: totalTerms(data),
    parameters: model.parameterCount,
    largest: Array.from(top.eigenvalues),
    residual: Math.max(...top.residuals) / (Math.max(...top.eigenvalues.map(Math.abs)) || 1),
    converged: top.converged && bottom?.converged !== false,
    smallest: bottom?.eigenvalues[0] ?? null,
    trace,
    density: quadratures.map(({ nodes, weights }) => ({
      nodes: Array.from(nodes),
      weights: Array.from(weights),
    })),
    ...(groups && {
      groups: groups.map((group): GroupRecord => ({ ...group, largest: Array.from(group.largest) })),
    }),
    llc: estimateLlc ? coefficient(model, parameters, data, top.eigenvalues[0], config, member) : null,
    seconds: (performance.now() - started) / 1000,
  };
}

const finite = (x: number) => (Number.isFinite(x) ? x : null);

/** A record as it is to be shown: one of an earlier version without an estimate that fails its diagnostics. */
export function withoutFailedEstimate(record: SpectrumRecord): SpectrumRecord {
  const { llc, parameters } = record;
  if (llc === null || llc.failures || llc.llc === null) return record;
  const failures = failedDiagnostics({ ...llc, llc: llc.llc }, parameters);
  return {
    ...record,
    llc: { ...llc, llc: failures.length === 0 ? llc.llc : null, chainMean: llc.llc, failures },
  };
}

/** How often the step is halved before a checkpoint is given up. */
const HALVINGS = 8;

/**
 * Steps a quarter of the largest stable one in the stiffest direction at the checkpoint. A flat checkpoint can have steep
 * surroundings, which throw such a chain out; the step is then halved.
 */
function coefficient(
  model: CurvatureModel,
  parameters: Float32Array,
  data: ReturnType<typeof recentBatches>,
  largest: number,
  config: Config,
  member: number,
): LearningCoefficientRecord {
  const { seed, task } = config;
  // A pool is the data set, of which the batches are a sample; of fresh prompts the batches are all there is.
  const trainingTerms =
    task.promptPool === 0 ? totalTerms(data) : termsSeenAt(config, Number.POSITIVE_INFINITY);
  const nBeta = trainingTerms / Math.log(trainingTerms);
  let stepSize = 1 / (nBeta * Math.max(0, largest) + LOCALISATION);
  for (let halved = 0; ; halved++, stepSize /= 2) {
    try {
      const { llc, failures, standardError, diagnostics } = learningCoefficient(model, parameters, data, {
        ...{ trainingTerms, nBeta, localisation: LOCALISATION, seed, member, stepSize },
        ...CHAINS,
      });
      return {
        ...{ llc: failures.length === 0 ? llc : null, chainMean: llc, failures },
        standardError: finite(standardError),
        ...{ trainingTerms, nBeta, localisation: LOCALISATION, stepSize },
        diagnostics: {
          rHat: finite(diagnostics.rHat),
          effectiveSampleSize: finite(diagnostics.effectiveSampleSize),
          drift: finite(diagnostics.drift),
          belowBase: finite(diagnostics.belowBase),
        },
      };
    } catch (error) {
      if (!(error instanceof DivergedChainError) || halved === HALVINGS) throw error;
    }
  }
}
