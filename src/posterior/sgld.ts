/** The SGLD posterior: states of a Langevin chain, thinned after a burn-in. */

import { LangevinChain } from "../curvature/langevin.ts";
import type { Vector } from "../curvature/vector.ts";
import type { RandomGenerator } from "../random.ts";
import { requireCount, requireNonNegative, requirePositive, requireWhole } from "../validate.ts";
import { EmpiricalPosterior } from "./empirical.ts";

export interface SgldOptions {
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

/**
 * @param gradientAt gradient of the mean loss, on all data or a random batch of it, at the parameters given; `step`
 *   counts from 0
 * @throws RangeError for an option outside its range, or a chain that diverges
 */
export function fitSgld(
  start: Vector,
  gradientAt: (parameters: Float64Array, step: number) => Vector,
  options: SgldOptions,
): EmpiricalPosterior {
  const { trainingTerms, priorPrecision, temperature = 1, burnIn, thinning, draws, rng } = options;
  requirePositive("trainingTerms", trainingTerms);
  requireNonNegative("priorPrecision", priorPrecision);
  requirePositive("temperature", temperature);
  requireWhole("burnIn", burnIn);
  if (options.preconditioned) requireCount("burnIn of a preconditioned chain", burnIn);
  requireCount("thinning", thinning);
  requireCount("draws", draws);
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
