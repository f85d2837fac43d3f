/**
 * AdamW in float64, as `torch.optim.AdamW`, with `torch.nn.utils.clip_grad_norm_` and the learning-rate schedule
 * of the training loop. For tests only.
 */
export interface AdamWOptions {
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Clip the gradient's global norm to this; 0: no clipping. */
  gradientClip: number;
}

/** A range of the flat parameter vector and its decoupled weight decay. */
export interface ParameterGroup {
  offset: number;
  length: number;
  weightDecay: number;
}

export class ReferenceAdamW {
  readonly options: AdamWOptions;
  readonly groups: readonly ParameterGroup[];
  readonly firstMoment: Float64Array;
  readonly secondMoment: Float64Array;
  /** Steps taken. */
  steps = 0;

  /** `groups` cover the flat parameter vector, in order. */
  constructor(groups: readonly ParameterGroup[], options: AdamWOptions) {
    let end = 0;
    for (const { offset, length } of groups) {
      if (offset !== end) throw new RangeError(`group offset is ${offset}; it must be ${end}`);
      end += length;
    }
    this.groups = groups;
    this.options = options;
    this.firstMoment = new Float64Array(end);
    this.secondMoment = new Float64Array(end);
  }

  /** Update `params` in place. Returns the global gradient norm before clipping. */
  step(params: Float64Array, gradient: Float64Array, learningRate: number): number {
    const { beta1, beta2, epsilon, gradientClip } = this.options;
    const norm = Math.sqrt(gradient.reduce((s, g) => s + g * g, 0));
    const clip = gradientClip > 0 ? Math.min(1, gradientClip / (norm + 1e-6)) : 1;
    this.steps++;
    const correction1 = 1 - beta1 ** this.steps;
    const correction2 = 1 - beta2 ** this.steps;
    for (const { offset, length, weightDecay } of this.groups) {
      for (let i = offset; i < offset + length; i++) {
        const g = clip * gradient[i];
        this.firstMoment[i] = beta1 * this.firstMoment[i] + (1 - beta1) * g;
        this.secondMoment[i] = beta2 * this.secondMoment[i] + (1 - beta2) * g * g;
        const mean = this.firstMoment[i] / correction1;
        const rms = Math.sqrt(this.secondMoment[i] / correction2);
        params[i] *= 1 - learningRate * weightDecay;
        params[i] -= (learningRate * mean) / (rms + epsilon);
      }
    }
    return norm;
  }
}

export interface LearningRateSchedule {
  steps: number;
  learningRate: number;
  warmupSteps: number;
  schedule: "constant" | "cosine" | "linear";
  /** Learning rate of the last step, as a fraction of `learningRate`; the constant schedule ignores it. */
  finalLearningRate: number;
}

/**
 * Learning rate of step s = 1..steps: s / warmupSteps of the peak in the warm-up, then from the peak (at s =
 * warmupSteps) constant, or along a half cosine or a line to the final value at the last step.
 */
export function referenceLearningRate(s: number, options: LearningRateSchedule): number {
  const { steps, learningRate, warmupSteps, schedule, finalLearningRate } = options;
  if (s <= warmupSteps) return (learningRate * s) / warmupSteps;
  const progress = (s - warmupSteps) / (steps - warmupSteps);
  const remaining = {
    constant: 1,
    cosine: finalLearningRate + (1 - finalLearningRate) * 0.5 * (1 + Math.cos(Math.PI * progress)),
    linear: finalLearningRate + (1 - finalLearningRate) * (1 - progress),
  };
  return learningRate * remaining[schedule];
}
