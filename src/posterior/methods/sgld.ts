/** The SGLD posterior: states of a Langevin chain, thinned after a burn-in. */

import { extremeEigenpairs } from "../../curvature/lanczos.ts";
import { LangevinChain } from "../../curvature/langevin.ts";
import { type Batch, type CurvatureModel, meanLossAndGradient, requireTerms } from "../../curvature/model.ts";
import { ggnOperator } from "../../curvature/operators.ts";
import type { Vector } from "../../curvature/vector.ts";
import type { RandomGenerator } from "../../random.ts";
import {
  keysOf,
  refuse,
  requireCount,
  requireFunction,
  requireKept,
  requireKeys,
  requireNonNegativeFloat32,
  requirePositiveFloat32,
  requireVector,
  requireWhole,
} from "../../validate.ts";
import { EmpiricalPosterior } from "../empirical.ts";
import { requireFlag, requireOptions } from "../option-checks.ts";
import type { FitInput, MethodDefinition } from "./method.ts";

/** Options of one chain of stochastic gradient Langevin dynamics. */
export interface SgldChainOptions {
  stepSize: number;
  /** N, the number of terms of the likelihood whose mean the gradient is of. */
  trainingTerms: number;
  /** delta of the prior N(0, I / delta). */
  priorPrecision: number;
  /** T, of the likelihood; 1, the default, for the posterior itself. */
  temperature?: number;
  /** Steps before the first state is kept. */
  burnIn: number;
  /** Steps from one kept state to the next. */
  thinning: number;
  /** Number of states to keep. */
  draws: number;
  /** RMSprop preconditioning, adapted during the burn-in only. Default false. */
  preconditioned?: boolean;
  rng: RandomGenerator;
}

const CHAIN = keysOf<SgldChainOptions>({
  ...{ stepSize: true, trainingTerms: true, priorPrecision: true, temperature: true, burnIn: true },
  ...{ thinning: true, draws: true, preconditioned: true, rng: true },
});

/**
 * @param gradientAt gradient of the mean loss, on all data or a random batch of it, at the parameters given; `step`
 *   counts from 0
 * @throws RangeError for an option outside its range, or a chain that diverges
 */
export function fitSgld(
  start: Vector,
  gradientAt: (parameters: Float64Array, step: number) => Vector,
  options: SgldChainOptions,
): EmpiricalPosterior {
  requireVector("start", start);
  requireFunction("gradientAt", gradientAt);
  requireKeys("fitSgld", options, CHAIN);
  const { trainingTerms, priorPrecision, temperature = 1, burnIn, thinning, draws, rng } = options;
  requireTerms("trainingTerms", trainingTerms);
  requireNonNegativeFloat32("priorPrecision", priorPrecision);
  requirePositiveFloat32("temperature", temperature);
  requireWhole("burnIn", burnIn);
  if (options.preconditioned) requireCount("burnIn of a preconditioned chain", burnIn);
  requireCount("thinning", thinning);
  requireKept("draws", draws);
  const chain = new LangevinChain(start, {
    stepSize: options.stepSize,
    lossWeight: trainingTerms / temperature,
    precision: priorPrecision,
    preconditioner: options.preconditioned ? {} : undefined,
  });
  const states: Float32Array[] = [];
  for (let step = 0; states.length < draws; step++) {
    if (step === burnIn) chain.freeze();
    chain.step(gradientAt(chain.position, step), rng);
    if (step >= burnIn && (step - burnIn + 1) % thinning === 0)
      states.push(Float32Array.from(chain.position));
  }
  return new EmpiricalPosterior("sgld", states);
}

export interface SgldOptions {
  /** In all, the first quarter of them burn-in. Default 300. */
  steps?: number;
  /** delta of the prior N(0, I / delta). Default 1. */
  priorPrecision?: number;
  /**
   * Default half of 1 / (N x largest GGN eigenvalue + delta), an eighth of where it turns unstable. To be stated for a
   * preconditioned chain, which scales the curvature by what it meets on its way.
   */
  stepSize?: number;
  preconditioned?: boolean;
}

const DEFAULTS = { steps: 300, priorPrecision: 1 } as const;
const MODEL = { optimizer: "none", curvature: true } as const;

export const sgld = {
  name: "sgld",
  label: "SGLD",
  summary: "states of a Langevin chain that starts at the checkpoint",
  fits: "trajectory",
  byDefault: true,
  needs: { checkpoints: "one", data: true, model: MODEL },
  defaults: DEFAULTS,
  settings: ["fitSteps"],
  options: ({ fitSteps }) => ({ steps: fitSteps ?? DEFAULTS.steps }),
  requireOptions: (options, draws) => {
    requireOptions<SgldOptions>("sgld", options, {
      ...{ steps: requireCount, priorPrecision: requirePositiveFloat32, stepSize: requirePositiveFloat32 },
      preconditioned: requireFlag,
    });
    const { steps = DEFAULTS.steps, stepSize, preconditioned } = options;
    if (preconditioned && stepSize === undefined)
      refuse("stepSize", "none", "stated for a preconditioned chain");
    if (steps - burnInOf(steps) < draws)
      refuse(
        "steps",
        steps,
        `at least ${Math.ceil((4 * draws) / 3)}, with a quarter of burn-in and S = ${draws} draws`,
      );
  },
  fit: (input) => ({ posterior: sampleFrom(input) }),
  load: EmpiricalPosterior.load,
} as const satisfies MethodDefinition<"sgld", SgldOptions, typeof MODEL>;

const burnInOf = (steps: number) => Math.max(1, Math.floor(steps / 4));

/**
 * Gradients over all of D: scaled by N, the noise of a random batch would exceed the injected one many times, and the
 * chain would run at a temperature of its own.
 */
function sampleFrom(input: FitInput<SgldOptions, typeof MODEL>): EmpiricalPosterior {
  const {
    model,
    checkpoints: [parameters],
    data,
    nSamples,
    trainingTerms,
    rng,
    options,
  } = input;
  const { steps = DEFAULTS.steps, priorPrecision = DEFAULTS.priorPrecision, preconditioned } = options;
  const burnIn = burnInOf(steps);
  model.setParameters(parameters);
  const stepSize =
    options.stepSize ?? 0.5 / (trainingTerms * largestEigenvalue(model, data, rng) + priorPrecision);
  const gradientAt = (theta: Float64Array) => {
    model.setParameters(Float32Array.from(theta));
    return meanLossAndGradient(model, data).gradient;
  };
  return fitSgld(parameters, gradientAt, {
    ...{ stepSize, trainingTerms, priorPrecision, burnIn, draws: nSamples, preconditioned, rng },
    thinning: Math.floor((steps - burnIn) / nSamples),
  });
}

/** To a few percent, and rather too large: it only sets a step size. */
function largestEigenvalue(model: CurvatureModel, data: readonly Batch[], rng: RandomGenerator): number {
  const operator = ggnOperator(model, data);
  const { eigenvalues, residuals, converged } = extremeEigenpairs(operator, { k: 1, rng, tolerance: 0.05 });
  return converged ? eigenvalues[0] : eigenvalues[0] + residuals[0];
}
