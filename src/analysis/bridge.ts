/**
 * Runs of transformers beside the linear model. This is an analogy of trend: a ratio that plays the part of lambda is
 * read off a run's task split, one unit of time is fitted on the memorisation steps, and the model's other times are
 * drawn in that unit. Nothing is predicted: a transformer learns features, has another loss and another optimiser, and
 * its uncertainty is that of a deep ensemble.
 */
import type { RunEvents } from "../run/records.ts";
import { seenInputCount, TaskFamily } from "../tasks/family.ts";
import type { TaskConfig } from "../tasks/settings.ts";
import { linearlySpaced } from "../theory/grid.ts";
import { collapseTimes, times } from "../theory/times.ts";
import { requireNonEmpty } from "../validate.ts";

/**
 * What stands for lambda, unknowns per observation, where each (task, input) pair is one entry of a table to be learned:
 * `unseen`, entries outside the training set per entry in it; `all`, all entries per entry in the training set, which is
 * one more.
 */
export type TaskRatio = "unseen" | "all";

/** What the bridge needs of a run. */
export interface MeasuredRun {
  name: string;
  config: { task: TaskConfig };
  events: RunEvents;
}

export interface BridgeRun extends RunEvents {
  name: string;
  trainTasks: number;
  taskCount: number;
  /** The run's analogue of lambda. */
  lambda: number;
  /** grokStep - memorisedStep. */
  delay: number | null;
  /** collapseStep - grokStep: negative if the collapse came first. */
  lag: number | null;
  /** grokStep / memorisedStep and collapseStep / grokStep, which need no unit of time. */
  delayRatio: number | null;
  lagRatio: number | null;
  /** The linear model at this lambda: t_gen/t_train and t_U/t_gen; null where t_gen does not exist. */
  model: { delayRatio: number | null; lagRatio: number | null };
}

export interface Bridge {
  ratio: TaskRatio;
  /** Steps per unit of the model's time: the geometric mean of memorisedStep/t_train. null: nothing was memorised. */
  stepsPerTime: number | null;
  /** Geometric spread of memorisedStep/t_train about it: exp of the standard deviation of the logarithm. */
  spread: number | null;
  runs: BridgeRun[];
  /** Times of the linear model over lambda, in its own unit. */
  curves: { lambda: number; tTrain: number; tGen: number; tU: number }[];
}

/** The run's analogue of lambda; see `TaskRatio`. With inputFraction 1 only tasks count. */
export function taskRatio(task: TaskConfig, ratio: TaskRatio = "unseen"): number {
  const { taskCount, inputCount } = new TaskFamily(task);
  const all = (taskCount * inputCount) / (task.trainTasks * seenInputCount(task));
  return ratio === "all" ? all : all - 1;
}

/**
 * Set runs beside the linear model without label noise, with residual noise, initial variance u0 and the given level.
 *
 * @throws RangeError without runs
 */
export function bridge(
  runs: readonly MeasuredRun[],
  { level, u0, ratio = "unseen" }: { level: number; u0: number; ratio?: TaskRatio },
): Bridge {
  requireNonEmpty("runs", runs);
  const rows = runs
    .map((run) => bridgeRun(run, ratio, level, u0))
    .sort((a, b) => a.lambda - b.lambda || a.name.localeCompare(b.name));
  const units = rows.flatMap(({ lambda, memorisedStep }) =>
    memorisedStep ? [Math.log(memorisedStep / times({ lambda, level }).tTrain)] : [],
  );
  const centre = mean(units);
  const last = Math.max(1.1, 1.15 * rows[rows.length - 1].lambda);
  const first = Math.min(0.2, 0.85 * rows[0].lambda);
  return {
    ratio,
    stepsPerTime: centre === null ? null : Math.exp(centre),
    spread: centre === null ? null : Math.exp(Math.sqrt(mean(units.map((unit) => (unit - centre) ** 2))!)),
    runs: rows,
    curves: linearlySpaced(first, last, 61).map((lambda) => ({ lambda, ...modelTimes(lambda, level, u0) })),
  };
}

function bridgeRun(
  { name, config, events }: MeasuredRun,
  ratio: TaskRatio,
  level: number,
  u0: number,
): BridgeRun {
  const { memorisedStep, uncertaintyPeakStep, collapseStep, grokStep } = events;
  const lambda = taskRatio(config.task, ratio);
  const { tTrain, tGen, tU } = modelTimes(lambda, level, u0);
  return {
    name,
    trainTasks: config.task.trainTasks,
    taskCount: new TaskFamily(config.task).taskCount,
    lambda,
    memorisedStep,
    uncertaintyPeakStep,
    collapseStep,
    grokStep,
    delay: combine(grokStep, memorisedStep, (a, b) => a - b),
    lag: combine(collapseStep, grokStep, (a, b) => a - b),
    delayRatio: combine(grokStep, memorisedStep, quotient),
    lagRatio: combine(collapseStep, grokStep, quotient),
    model: { delayRatio: quotient(tGen, tTrain), lagRatio: quotient(tU, tGen) },
  };
}

/** Times of the linear model without label noise; t_U with residual noise. */
function modelTimes(lambda: number, level: number, u0: number) {
  return { ...times({ lambda, level }), tU: collapseTimes({ lambda, level, u0 }).residual };
}

function combine<T>(a: number | null, b: number | null, f: (a: number, b: number) => T): T | null {
  return a === null || b === null ? null : f(a, b);
}

function quotient(a: number, b: number): number | null {
  return Number.isFinite(a) && Number.isFinite(b) && b > 0 ? a / b : null;
}

function mean(values: number[]): number | null {
  return values.length > 0 ? values.reduce((a, b) => a + b, 0) / values.length : null;
}
