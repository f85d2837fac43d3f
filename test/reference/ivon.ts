/** IVON (Shen et al. 2024, arXiv 2402.17641) in float64. For tests only. */
export interface ReferenceIvonOptions {
  effectiveSampleSize: number;
  weightDecay: number;
  beta1: number;
  beta2: number;
  learningRate: number;
  /** Elementwise bound on the preconditioned step; 0 for none. */
  clipRadius: number;
}

export class ReferenceIvon {
  readonly options: ReferenceIvonOptions;
  readonly mean: Float64Array;
  readonly momentum: Float64Array;
  readonly hessian: Float64Array;
  steps = 0;

  constructor(mean: Float64Array, initialHessian: number, options: ReferenceIvonOptions) {
    this.options = options;
    this.mean = mean.slice();
    this.momentum = new Float64Array(mean.length);
    this.hessian = new Float64Array(mean.length).fill(initialHessian);
  }

  /** m + sigma e. */
  sample(noise: Float64Array): Float64Array {
    const { effectiveSampleSize, weightDecay } = this.options;
    return this.mean.map(
      (m, i) => m + noise[i] / Math.sqrt(effectiveSampleSize * (this.hessian[i] + weightDecay)),
    );
  }

  /** One step from the samples' standard normal noise; `gradient` gives that of the mean loss at a sample. */
  step(noises: Float64Array[], gradient: (theta: Float64Array) => Float64Array): void {
    const { effectiveSampleSize, weightDecay, beta1, beta2, learningRate, clipRadius } = this.options;
    this.steps++;
    const samples = noises.map((noise) => {
      const theta = this.sample(noise);
      return { theta, g: gradient(theta) };
    });
    for (let i = 0; i < this.mean.length; i++) {
      const h = this.hessian[i];
      const precision = effectiveSampleSize * (h + weightDecay);
      const average = (f: (s: { theta: Float64Array; g: Float64Array }) => number) =>
        samples.reduce((sum, s) => sum + f(s), 0) / samples.length;
      const g = average((s) => s.g[i]);
      const estimate = average((s) => s.g[i] * (s.theta[i] - this.mean[i]) * precision);
      const correction = ((1 - beta2) ** 2 * (h - estimate) ** 2) / (2 * (h + weightDecay));
      this.hessian[i] = beta2 * h + (1 - beta2) * estimate + correction;
      this.momentum[i] = beta1 * this.momentum[i] + (1 - beta1) * g;
      const debiased = this.momentum[i] / (1 - beta1 ** this.steps);
      const direction = (debiased + weightDecay * this.mean[i]) / (this.hessian[i] + weightDecay);
      const clip = clipRadius > 0 ? clipRadius : Number.POSITIVE_INFINITY;
      this.mean[i] -= learningRate * Math.max(-clip, Math.min(clip, direction));
    }
  }
}
