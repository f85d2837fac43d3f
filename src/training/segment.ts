/**
 * One training segment of one member: a pure function of (configuration, state at step s, s') that gives the state at
 * s' and the predictions there. One step is: prompts of (seed, member, step) -> forward, loss, backward -> optimiser.
 */
import type { Config } from "../config/schema.ts";
import type { Batch } from "../core/batch.ts";
import type { CoreModule } from "../core/module.ts";
import type { Team } from "../core/team.ts";
import { type AnswerTable, drawAnswerTable } from "../tasks/answer-table.ts";
import { drawProbePrompts, type ProbePrompts } from "../tasks/probe-prompts.ts";
import { PromptSampler } from "../tasks/prompts.ts";
import { answer } from "./answer.ts";
import { createMemberModel, type MemberModel } from "./member-model.ts";
import type { MemberState, NonFinite, SegmentRequest, SegmentResult } from "./messages.ts";
import { initialParameters, stateAtStart } from "./model.ts";
import { predict } from "./predict.ts";

export interface SegmentContext {
  core: CoreModule;
  /** Asked before every step; true ends the segment there. */
  stop: () => boolean;
  /** Threads that may help with the steps; none by default. */
  team?: Team | null;
  /** The caller gives the request's state away: its arrays become those of the result. By default they stay as they are. */
  takeState?: boolean;
  /** After every step, with that step's loss in nats. */
  onStep?: (step: number, loss: number) => void;
}

/** What all segments of a run share in one worker; made once per configuration. */
interface Trainer {
  key: string;
  model: MemberModel;
  sampler: PromptSampler;
  batch: Batch;
  probes: ProbePrompts[];
  /** Drawn when it is first asked. */
  table?: AnswerTable;
}

let trainer: Trainer | undefined;

function trainerOf(config: Config, core: CoreModule): Trainer {
  const key = `${core.math} ${core.simd} ${JSON.stringify(config)}`;
  if (trainer?.key !== key) {
    const { task, seed, evaluation, training } = config;
    const sampler = new PromptSampler(config);
    trainer = {
      key,
      model: createMemberModel(config, core),
      sampler,
      batch: sampler.createBatch(training.batchSize, training.lossPositions),
      probes: drawProbePrompts(task, seed, evaluation.prompts),
    };
  }
  return trainer;
}

function tableOf(shared: Trainer, { task, seed, evaluation }: Config): AnswerTable {
  shared.table ??= drawAnswerTable(task, seed, evaluation.prompts);
  return shared.table;
}

/** @throws Error if the members begin with parameters that only the caller has */
function initialState(config: Config, member: number, core: CoreModule): MemberState {
  if (config.model.initFrom !== undefined)
    throw new Error(`member ${member} begins from ${config.model.initFrom}, and needs its state from there`);
  const { parameters } = trainerOf(config, core).model.transformer;
  return stateAtStart(config, initialParameters(parameters, config, member));
}

/**
 * Train from `request.state` (or from initialisation) to `request.toStep` and predict there. Ends early when asked to
 * stop, or at a non-finite loss, in the state before that step. Predictions that are not finite are left out.
 *
 * @throws RangeError if the state belongs to another model
 */
export function trainSegment(request: SegmentRequest, context: SegmentContext): SegmentResult {
  const { config, member, toStep } = request;
  const shared = trainerOf(config, context.core);
  const { model, sampler, batch, probes } = shared;
  const { transformer } = model;
  const from = request.state ?? initialState(config, member, context.core);
  transformer.setParameters(from.parameters);
  transformer.setMoments({ first: from.firstMoment, second: from.secondMoment });
  transformer.setTeam(context.team ?? null);

  const started = performance.now();
  let step = from.step;
  const sums = { steps: 0, loss: 0, gradientNorm: 0, ...request.carried };
  let nonFinite: NonFinite | undefined;
  while (step < toStep && !context.stop()) {
    const t = step + 1;
    sampler.sampleInto(batch, member, t);
    const { loss, gradientNorm } = model.trainStep(batch, member, t);
    if (!Number.isFinite(loss)) {
      nonFinite = { what: "loss", step: t };
      break;
    }
    sums.steps += 1;
    sums.loss += loss;
    sums.gradientNorm += gradientNorm;
    step = t;
    context.onStep?.(t, loss);
  }
  const trained = performance.now();
  const predictions = step === toStep ? predict(model, probes, config, member, step) : [];
  if (predictions === null) nonFinite = { what: "predictions", step };
  const answers =
    predictions?.length && request.answers ? answer(transformer, tableOf(shared, config).batch) : undefined;
  // Nobody else has the initial state.
  const own = context.takeState || !request.state ? from : undefined;
  const moments = transformer.getMoments(own && { first: own.firstMoment, second: own.secondMoment });
  return {
    member,
    state: {
      step,
      parameters: transformer.getParameters(own?.parameters),
      firstMoment: moments.first,
      secondMoment: moments.second,
    },
    sums,
    predictions: predictions ?? [],
    ...(answers && { answers }),
    nonFinite,
    tokens: (step - from.step) * batch.tokens.length,
    trainSeconds: (trained - started) / 1000,
    evaluationSeconds: (performance.now() - trained) / 1000,
  };
}
