/**
 * Exact Bayesian predictors by enumeration of the hypotheses, nothing fitted. After k examples, m of which agree with
 * hypothesis tau, its likelihood under context noise e is (1-e)^m (e/(p-1))^(k-m). Hypotheses with the same number of
 * matches have the same weight, so the predictive follows from integer counts of (matches, predicted value): without
 * noise it is an exact ratio of integers.
 */
import { exp, log, log1p } from "../elementary.ts";
import { requireFraction, requireLength, requireList, requireNonEmpty, requireObject } from "../validate.ts";
import { type FamilyOptions, TaskFamily } from "./family.ts";

/** A list of hypotheses with a uniform prior over it. */
export interface Hypotheses {
  readonly size: number;
  /** Write the output of every hypothesis at one input into out (size). */
  outputsAt(input: ArrayLike<number>, out: Int32Array): void;
}

/** All tasks of a family, in the order of their indices. */
export function everyTask(family: TaskFamily): Hypotheses {
  const outputs = new Int32Array(family.modulus ** family.taskLength);
  return {
    size: family.taskCount,
    outputsAt(input, out) {
      family.outputsAt(input, outputs);
      out.set(outputs.subarray(family.firstTask));
    },
  };
}

/** The tasks with these vectors; a repeated one counts as often as it occurs. */
export function listedTasks(family: TaskFamily, tasks: readonly ArrayLike<number>[]): Hypotheses {
  return {
    size: tasks.length,
    outputsAt(input, out) {
      const evaluate = family.evaluateAt(input);
      for (let h = 0; h < tasks.length; h++) out[h] = evaluate(tasks[h]);
    },
  };
}

/**
 * The posterior over hypotheses as the examples of one prompt arrive: `predict` at an input, then `observe` the output
 * that the context shows for it. `reset` starts the next prompt. Each example costs one pass over the hypotheses.
 */
export class SequentialPosterior {
  private readonly hypotheses: Hypotheses;
  private readonly modulus: number;
  /** log(1-e) and log(e/(p-1)); -Infinity at the ends of the noise range. */
  private readonly logMatch: number;
  private readonly logMiss: number;
  /** (size): outputs at the input given to `predict` last, and matches so far. */
  private readonly outputs: Int32Array;
  private readonly matches: Uint32Array;
  private observed = 0;
  /** (examples + 1, p): hypotheses by number of matches and predicted value. */
  private readonly counts: Int32Array;

  /** @param examples the largest number of examples that will be observed */
  constructor(hypotheses: Hypotheses, modulus: number, contextNoise: number, examples: number) {
    this.hypotheses = hypotheses;
    this.modulus = modulus;
    this.logMatch = log1p(-contextNoise);
    this.logMiss = log(contextNoise / (modulus - 1));
    this.outputs = new Int32Array(hypotheses.size);
    this.matches = new Uint32Array(hypotheses.size);
    this.counts = new Int32Array((examples + 1) * modulus);
  }

  reset(): void {
    this.matches.fill(0);
    this.observed = 0;
  }

  /**
   * Write the predictive distribution of the clean output at `input` into out[offset .. offset + p).
   *
   * @returns whether any hypothesis has positive likelihood; if not, the prior predictive is written
   */
  predict(input: ArrayLike<number>, out: Float64Array, offset: number): boolean {
    const { modulus, outputs, matches, counts, observed } = this;
    this.hypotheses.outputsAt(input, outputs);
    counts.fill(0, 0, (observed + 1) * modulus);
    for (let h = 0; h < outputs.length; h++) counts[matches[h] * modulus + outputs[h]]++;
    const { likelihoods, support } = this.scaledLikelihoods();
    out.fill(0, offset, offset + modulus);
    let total = 0;
    for (let m = 0; m <= observed; m++) {
      if (likelihoods[m] === 0) continue;
      for (let c = 0; c < modulus; c++) {
        const mass = likelihoods[m] * counts[m * modulus + c];
        out[offset + c] += mass;
        total += mass;
      }
    }
    for (let c = 0; c < modulus; c++) out[offset + c] /= total;
    return support;
  }

  /** Add the example (input of the last `predict`, output) to the context. */
  observe(output: number): void {
    const { outputs, matches } = this;
    for (let h = 0; h < outputs.length; h++) if (outputs[h] === output) matches[h]++;
    this.observed++;
  }

  /** The posterior over the hypotheses (size), and whether any has positive likelihood; if not, the prior. */
  posterior(): { weights: Float64Array; support: boolean } {
    const { likelihoods, support } = this.scaledLikelihoods();
    const weights = Float64Array.from(this.matches, (m) => likelihoods[m]);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { weights: weights.map((weight) => weight / total), support };
  }

  /**
   * Likelihood for each number of matches 0..k, scaled so that the best hypothesis has 1; all ones without support,
   * which turns the posterior into the prior.
   */
  private scaledLikelihoods(): { likelihoods: Float64Array; support: boolean } {
    const k = this.observed;
    const present = new Uint8Array(k + 1);
    for (const m of this.matches) present[m] = 1;
    const logs = Float64Array.from(present, (isPresent, m) =>
      isPresent ? this.logLikelihood(m) : -Infinity,
    );
    const best = logs.reduce((a, b) => Math.max(a, b), -Infinity);
    if (best === -Infinity) return { likelihoods: logs.fill(1), support: false };
    return { likelihoods: logs.map((each) => exp(each - best)), support: true };
  }

  /** Of m matches among the examples observed; a factor with exponent 0 is 1 whatever its base. */
  private logLikelihood(m: number): number {
    const misses = this.observed - m;
    return (m > 0 ? m * this.logMatch : 0) + (misses > 0 ? misses * this.logMiss : 0);
  }
}

/** A family and a context. */
export interface ExactContext extends FamilyOptions {
  /** Probability in [0, 1] that an output of the context was replaced by one of the other p-1 residues. */
  contextNoise: number;
  /** Uniform over all tasks of the family, or uniform over these task vectors (D, taskLength). */
  prior: "generalising" | readonly (readonly number[])[];
  /** (k, v): the inputs of the context. */
  inputs: readonly (readonly number[])[];
  /** (k): the outputs of the context as shown. */
  outputs: readonly number[];
}

export interface ExactQuery extends ExactContext {
  /** (v): the input whose output is predicted. */
  query: readonly number[];
  /** Probability in [0, 1] that the predicted output itself is replaced. Default 0: the clean output. */
  targetNoise?: number;
}

export interface ExactPosterior {
  /** Posterior probabilities, by task index (`TaskFamily.task`) or by row of `prior`. */
  weights: Float64Array;
  /** False if no task of the prior can have produced the context; `weights` is then the prior. */
  support: boolean;
}

/**
 * The exact Bayesian predictive distribution (p) of the output at `query`: the generalising predictor for the prior over
 * the whole family, the memorising one for the training tasks as prior. If no task of the prior can have produced the
 * context (see `exactPosterior`), it is the prior predictive. Never NaN.
 *
 * @throws RangeError for values outside their ranges and lengths that do not fit
 */
export function exactPredictive(query: ExactQuery): Float64Array {
  const { posterior, family } = condition(query);
  const { modulus } = family;
  const targetNoise = query.targetNoise ?? 0;
  requireFraction("targetNoise", targetNoise);
  family.checkInput("query", query.query);
  const predictive = new Float64Array(modulus);
  posterior.predict(query.query, predictive, 0);
  if (targetNoise === 0) return predictive;
  return predictive.map((p) => withTargetNoise(p, targetNoise, modulus));
}

/** The probability of a value after noise, from that of the value before it. */
export function withTargetNoise(p: number, noise: number, modulus: number): number {
  return (1 - noise) * p + (noise / (modulus - 1)) * (1 - p);
}

/**
 * The exact posterior over the tasks of the prior, given the context.
 *
 * @throws RangeError for values outside their ranges and lengths that do not fit
 */
export function exactPosterior(context: ExactContext): ExactPosterior {
  return condition(context).posterior.posterior();
}

function condition(context: ExactContext): { posterior: SequentialPosterior; family: TaskFamily } {
  const { modulus, contextNoise, prior, inputs, outputs } = requireObject("context", context);
  const family = new TaskFamily(context);
  requireFraction("contextNoise", contextNoise);
  requireList("inputs", inputs);
  requireLength("outputs", outputs, inputs.length, "one for each input");
  for (let k = 0; k < inputs.length; k++) {
    family.checkInput(`inputs[${k}]`, inputs[k]);
    family.checkResidue(`outputs[${k}]`, outputs[k]);
  }
  const posterior = new SequentialPosterior(
    prior === "generalising" ? everyTask(family) : listedTasks(family, checkPrior(prior, family)),
    modulus,
    contextNoise,
    inputs.length,
  );
  const unused = new Float64Array(modulus);
  for (let k = 0; k < inputs.length; k++) {
    posterior.predict(inputs[k], unused, 0);
    posterior.observe(outputs[k]);
  }
  return { posterior, family };
}

function checkPrior(
  prior: readonly (readonly number[])[],
  family: TaskFamily,
): readonly (readonly number[])[] {
  requireList("prior", prior);
  requireNonEmpty("prior", prior);
  for (const task of prior) family.taskIndex(task);
  return prior;
}

export function largest(values: Float64Array): number {
  return values.reduce((a, b) => Math.max(a, b));
}

/** Probability that the most probable class is the target, with ties broken at random. */
export function expectedHit(predictive: Float64Array, target: number): number {
  // Equal posterior masses can differ in the last bits when they are sums over different numbers of matches.
  const threshold = largest(predictive) * (1 - 1e-12);
  return predictive[target] >= threshold ? 1 / predictive.filter((p) => p >= threshold).length : 0;
}
