/** An equally weighted mixture of posteriors, such as an ensemble of Laplace approximations (arXiv 2111.03577). */

import type { Batch, PredictiveModel } from "../curvature/model.ts";
import { type RandomGenerator, uniformIndex } from "../random.ts";
import type { Safetensors, Tensor } from "../safetensors.ts";
import { refuse, requireCount, requireList, requireObject } from "../validate.ts";
import { type Posterior, type PredictOptions, requirePredictOptions } from "./posterior.ts";

export class MixturePosterior implements Posterior {
  readonly method = "mixture";
  readonly parameterCount: number;
  readonly components: readonly Posterior[];

  /** @throws RangeError if there is no component, or components differ in their number of parameters */
  constructor(components: readonly Posterior[]) {
    requireList("components", components);
    requireCount("number of components", components.length);
    components.forEach((component, i) => {
      requireCount(`parameterCount of component ${i}`, requireObject("component", component).parameterCount);
    });
    this.parameterCount = components[0].parameterCount;
    for (const { parameterCount } of components) {
      if (parameterCount !== this.parameterCount)
        refuse("parameters of a component", parameterCount, `${this.parameterCount}, as those of the first`);
    }
    this.components = components;
  }

  sample(rng: RandomGenerator): Float32Array {
    return this.components[uniformIndex(rng, this.components.length)].sample(rng);
  }

  /**
   * The same number of draws from every component, nSamples in all.
   * @throws RangeError unless nSamples is a multiple of the number of components
   */
  predict(model: PredictiveModel, batch: Batch, options: PredictOptions): Float32Array[] {
    const { nSamples, rng } = requirePredictOptions(options);
    const each = nSamples / this.components.length;
    if (!Number.isInteger(each) || each < 1) {
      refuse("nSamples", nSamples, `a multiple of the ${this.components.length} components`);
    }
    return this.components.flatMap((component) => component.predict(model, batch, { nSamples: each, rng }));
  }

  save(): Safetensors {
    const saved = this.components.map((component) => component.save());
    return {
      metadata: {
        method: this.method,
        components: JSON.stringify(saved.map(({ metadata }) => metadata)),
      },
      tensors: new Map<string, Tensor>(
        saved.flatMap(({ tensors }, i) =>
          [...tensors].map(([name, tensor]): [string, Tensor] => [`component.${i}.${name}`, tensor]),
        ),
      ),
    };
  }
}
