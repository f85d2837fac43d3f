/** Curvature products as multiples of a gradient, and Laplace posteriors: fit, draws, predictions. */
import { batchesFor } from "../dist/analysis/open-run.js";
import { instantiateTransformer } from "../dist/core/transformer.js";
import { fitAndPredict } from "../dist/posterior/fit-and-predict.js";
import { stream } from "../dist/random.js";
import { drawProbePrompts } from "../dist/tasks/probe-prompts.js";
import { initialParameters, transformerShape } from "../dist/training/model.js";
import { recentBatches } from "../dist/training/recent-batches.js";
import { PRESETS } from "./configs.mjs";
import { best, once } from "./measure.mjs";
import { train } from "./step.mjs";

const MAX_GRADIENTS = { hessian: 3, ggn: 2.5 };

export const curvatureBenches = (builds) =>
  Object.entries(PRESETS).flatMap(([preset, config]) =>
    builds.map(({ label, core }) => ({
      ...{ group: "curvature", name: preset, build: label },
      measure() {
        const model = instantiateTransformer(core, transformerShape(config), { curvature: true });
        const parameters = initialParameters(model.parameters, config, 0);
        model.setParameters(parameters);
        const [batch] = recentBatches(config, 0, 0, 1);
        const seconds = (product) =>
          best((count) => {
            for (let i = 0; i < count; i++) product();
          });
        const gradient = seconds(() => model.lossAndGradient(batch));
        const hessian = seconds(() => model.hessianVectorProduct(batch, parameters)) / gradient;
        const ggn = seconds(() => model.ggnVectorProduct(batch, parameters)) / gradient;
        return [
          { what: "gradient", value: 1e3 * gradient, unit: "ms" },
          { what: "Hessian-vector product", value: hessian, unit: "gradients", max: MAX_GRADIENTS.hessian },
          { what: "GGN-vector product", value: ggn, unit: "gradients", max: MAX_GRADIENTS.ggn },
        ];
      },
    })),
  );

const LAPLACE = ["laplace-last-layer", "laplace-diagonal", "laplace-kfac", "laplace-low-rank"];
const STEPS = 100;
/** Draws of a prediction, and predictions that means over the data are taken over: what `epigrok posterior` uses. */
const DRAWS = 32;
const DATA = 2048;

/** A checkpoint a little away from the initial parameters, and what all methods are fitted on. */
function posteriorProblem(config, core) {
  const { state } = train(config, core, null, STEPS);
  const { task, seed, evaluation } = config;
  return {
    ...{ config, member: 0, step: STEPS, checkpoints: [state.parameters], nSamples: DRAWS, seed },
    data: recentBatches(config, 0, STEPS, batchesFor(config, DATA)),
    probes: drawProbePrompts(task, seed, evaluation.prompts).map(({ name, batch }) => ({ set: name, batch })),
  };
}

export function posteriorBenches(builds) {
  const config = PRESETS.quick;
  return builds.flatMap(({ label, core }) => {
    const problem = once(() => posteriorProblem(config, core));
    return LAPLACE.map((method) => ({
      ...{ group: "posterior", name: `quick: ${method}`, build: label },
      measure() {
        const { fitSeconds, predictSeconds, posterior } = fitAndPredict({ ...problem(), method }, core);
        const rng = stream(config.seed, 0, "posteriorPredictions");
        const drawSeconds = best(
          (count) => {
            for (let i = 0; i < count; i++) posterior.sample(rng);
          },
          { rounds: 2, seconds: 0.1 },
        );
        return [
          { what: "fit", value: 1e3 * fitSeconds, unit: "ms" },
          { what: "draw", value: 1e3 * drawSeconds, unit: "ms" },
          { what: `predictions of ${DRAWS} draws`, value: 1e3 * predictSeconds, unit: "ms" },
        ];
      },
    }));
  });
}
