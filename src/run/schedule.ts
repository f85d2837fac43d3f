/**
 * Which steps are evaluated, and which of them keep a checkpoint or ask the answer table. All follow from the
 * configurations alone.
 */
import type { Config } from "../config/schema.ts";
import { answerTableSize } from "../tasks/answer-table.ts";
import { gradientsPerStep } from "../training/cost.ts";
import type { Manifest } from "./manifest.ts";

/** Steps in one log-spaced interval, as a fraction of the step it starts from: about 12 evaluations a decade. */
const LOG_GAP = 0.2;

/** The evaluation steps, ascending: 0, then spaced as `evaluation` says, and `training.steps` at the end. */
export function evaluationSteps({ training, evaluation }: Pick<Config, "training" | "evaluation">): number[] {
  const { every, spacing } = evaluation;
  const steps: number[] = [];
  for (let step = 0; step < training.steps; ) {
    steps.push(step);
    step += spacing === "linear" ? every : Math.min(every, Math.max(1, Math.floor(step * LOG_GAP)));
  }
  steps.push(training.steps);
  return steps;
}

/** Which steps of a run are evaluated, and what is kept of them. */
export interface RunSchedule {
  /** Ascending. */
  steps: number[];
  checkpoints: Set<number>;
  predictions: Set<number>;
  answers: Set<number>;
}

/**
 * As the configuration says; up to where earlier ones were followed, as they said, as far as it is still wanted. What was
 * imported is kept at every step.
 */
export function runSchedule({
  config,
  earlier = [],
  imported,
}: Pick<Manifest, "config" | "earlier" | "imported">): RunSchedule {
  if (imported) {
    const all = new Set(imported);
    const kept = config.evaluation.savePredictions === "none" ? new Set<number>() : all;
    return { steps: imported, checkpoints: all, predictions: kept, answers: all };
  }
  const { schedule } = config.checkpoints;
  const eras = [...earlier, { config, until: Number.POSITIVE_INFINITY }];
  const steps = eras.flatMap((era, i) => {
    const from = eras[i - 1]?.until ?? -1;
    const kept = checkpointSteps(era.config);
    const asked = answerSteps(era.config);
    const last = i === eras.length - 1;
    return evaluationSteps(era.config)
      .filter((step) => (step > from && step <= era.until) || (last && step === config.training.steps))
      .map((step) => ({
        step,
        answers: asked.has(step),
        checkpoint: kept.has(step) && (last || schedule !== "last"),
        predictions:
          era.config.evaluation.savePredictions !== "none" && config.evaluation.savePredictions !== "none",
      }));
  });
  const where = (wanted: (each: (typeof steps)[number]) => boolean) =>
    new Set(steps.filter(wanted).map(({ step }) => step));
  return {
    steps: [...where(() => true)],
    checkpoints: where(({ checkpoint }) => checkpoint),
    predictions: where(({ predictions }) => predictions),
    answers: where(({ answers }) => answers),
  };
}

/**
 * The evaluation steps at which every member's parameters are kept. `log`: step 0, the last step and, between
 * them, the evaluations nearest to a geometric series, at most `checkpoints.keep` in all. `evaluations`: all.
 */
export function checkpointSteps(
  config: Pick<Config, "training" | "evaluation" | "checkpoints">,
): Set<number> {
  const { schedule, keep } = config.checkpoints;
  const steps = evaluationSteps(config);
  const last = steps[steps.length - 1];
  if (schedule === "last" || keep === 1) return new Set([last]);
  if (schedule === "evaluations") return new Set(steps);
  if (steps.length <= keep) return new Set(steps);
  const first = steps[1];
  const kept = new Set([0]);
  for (let i = keep - 2; i >= 0; i--) {
    const target = keep === 2 ? last : first * (last / first) ** (i / (keep - 2));
    kept.add(nearest(steps, target));
  }
  return new Set([...kept].sort((a, b) => a - b));
}

/** Largest share of a run that the answer table costs. */
const ANSWER_SHARE = 0.03;

/**
 * The evaluation steps at which the answer table is asked: all, or as many as keep its cost to a share of the training's,
 * evenly by rank, but always the first and the last.
 */
export function answerSteps(config: Pick<Config, "task" | "training" | "evaluation">): Set<number> {
  const { task, training } = config;
  const steps = evaluationSteps(config);
  // An answer is the forward third of a gradient.
  const trained = 3 * gradientsPerStep(training) * training.steps * training.batchSize;
  const affordable = Math.max(2, Math.floor((ANSWER_SHARE * trained) / answerTableSize(task)));
  if (steps.length <= affordable) return new Set(steps);
  const last = steps.length - 1;
  return new Set(
    Array.from({ length: affordable }, (_, i) => steps[Math.round((i * last) / (affordable - 1))]),
  );
}

/** The entry of ascending `steps` nearest to `target`; of two equally near ones the later. */
function nearest(steps: number[], target: number): number {
  let low = 0;
  let high = steps.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (steps[middle] <= target) low = middle;
    else high = middle;
  }
  return target - steps[low] < steps[high] - target ? steps[low] : steps[high];
}
