/** From the results of a run's segments to its files. */
import type { Config } from "../config/schema.ts";
import type { ParameterInfo } from "../core/layout.ts";
import type { CoreModule } from "../core/module.ts";
import { instantiateTransformer } from "../core/transformer.ts";
import type { MemberEvaluation, MemberProgress } from "../pool/controller.ts";
import { ivonGaussian } from "../training/ivon.ts";
import type { MemberState, SegmentRequest, SegmentResult } from "../training/messages.ts";
import { transformerShape } from "../training/model.ts";
import type { RunDirectory } from "./directory.ts";
import { Evaluator } from "./evaluator.ts";
import type { CheckpointKey } from "./files.ts";
import type { RunObserver } from "./observer.ts";
import type { MetricsRecord, References, RunSummary, TimingRecord } from "./records.ts";
import type { RunSchedule } from "./schedule.ts";
import { summarise } from "./summary.ts";

interface RecorderOptions {
  config: Config;
  core: CoreModule;
  directory: RunDirectory;
  observer: RunObserver;
  schedule: RunSchedule;
}

/** What an earlier part of the run has recorded. */
export interface EarlierRecords {
  /** In order of step. */
  records: MetricsRecord[];
  timing?: TimingRecord;
  /** Last step of answers.jsonl; -1 for none. */
  answered: number;
}

const NO_TIME: TimingRecord = { step: 0, seconds: 0, tokens: 0, trainSeconds: 0, evaluationSeconds: 0 };

/** Turns the controller's results into files and keeps what the summary needs. */
export class Recorder {
  readonly records: MetricsRecord[];
  readonly #config: Config;
  readonly #core: CoreModule;
  readonly #directory: RunDirectory;
  readonly #observer: RunObserver;
  readonly #schedule: RunSchedule;
  /** Last step of answers.jsonl. */
  #answered: number;
  readonly #timing: TimingRecord;
  readonly #startedAt = performance.now();
  /** Members that a resume will try again. */
  readonly #crashed = new Set<number>();
  readonly #evaluator: Evaluator;
  #parameters: readonly ParameterInfo[] | null = null;

  /** @param earlier what an earlier part of the run has recorded */
  constructor({ config, core, directory, observer, schedule }: RecorderOptions, earlier: EarlierRecords) {
    this.#config = config;
    this.#evaluator = new Evaluator(config);
    this.#core = core;
    this.#directory = directory;
    this.#observer = observer;
    this.#schedule = schedule;
    this.#answered = earlier.answered;
    this.records = earlier.records;
    this.#timing = { ...(earlier.timing ?? NO_TIME) };
  }

  get references(): References {
    return this.#evaluator.references;
  }

  async timed(
    run: (request: SegmentRequest) => Promise<SegmentResult>,
    request: SegmentRequest,
  ): Promise<SegmentResult> {
    const answers = this.#schedule.answers.has(request.toStep);
    const result = await run(answers ? { ...request, answers } : request);
    this.#timing.tokens += result.tokens;
    this.#timing.trainSeconds += result.trainSeconds;
    this.#timing.evaluationSeconds += result.evaluationSeconds;
    return result;
  }

  /** What makes a member's model, and of an IVON member its posterior. */
  async saveCheckpoint(
    { step, member }: CheckpointKey,
    { parameters: flat, secondMoment }: Pick<MemberState, "parameters" | "secondMoment">,
  ): Promise<void> {
    const key = { step, member };
    const { shape, parameters } = this.#model();
    const { seed, task, training } = this.#config;
    // Before the parameters: whoever finds them finds their posterior.
    if (training.ivon) {
      const gaussian = ivonGaussian(this.#config, training.ivon, member);
      await this.#directory.saveIvonCurvature(key, { ...gaussian, hessian: secondMoment }, parameters);
    }
    await this.#directory.saveCheckpoint(key, flat, parameters, { ...shape, seed, task });
  }

  async saveMember(progress: MemberProgress, evaluation: MemberEvaluation | null): Promise<void> {
    if (evaluation && progress.state && this.#schedule.checkpoints.has(evaluation.step))
      await this.saveCheckpoint(evaluation, progress.state);
    await this.#directory.saveMember(progress);
    if (progress.failure?.reason === "crash") this.#crashed.add(progress.member);
    if (progress.failure) this.#observer.memberFailed?.(progress.failure);
  }

  /** The line in metrics.jsonl comes last: it is what says that the evaluation is complete. */
  async saveEvaluation(step: number, members: MemberEvaluation[]): Promise<void> {
    const { task, evaluation } = this.#config;
    const record = this.#evaluator.metrics(step, members);
    if (this.#schedule.predictions.has(step) && evaluation.savePredictions !== "none") {
      const shape = { positions: task.examples, classes: task.modulus };
      await this.#directory.savePredictions(step, members, evaluation.savePredictions, shape);
    }
    const present = new Set(members.map(({ member }) => member));
    if ([...this.#crashed].some((member) => !present.has(member)))
      for (const part of members) await this.#directory.saveWaiting(part);
    await this.#saveAnswers(step, members);
    await this.#directory.appendLine("metrics.jsonl", record);
    const timing = { ...this.#timing, step, seconds: this.#seconds() };
    await this.#directory.appendLine("timing.jsonl", timing);
    this.records.push(record);
    this.#observer.evaluated?.(record, timing, this.records);
  }

  /** A kill between this line and that of the evaluation makes the evaluation come again, but not its table. */
  async #saveAnswers(step: number, members: readonly MemberEvaluation[]): Promise<void> {
    const record = step > this.#answered ? this.#evaluator.answers(step, members) : null;
    if (record === null) return;
    await this.#directory.appendLine("answers.jsonl", record);
    this.#answered = step;
  }

  summarise(members: readonly MemberProgress[]): RunSummary {
    return summarise({
      runDir: this.#directory.path,
      config: this.#config,
      records: this.records,
      references: this.references,
      members,
      math: this.#core.math,
      simd: this.#core.simd,
      tokensPerSecond: this.#timing.tokens / this.#seconds(),
    });
  }

  /** Seconds of all parts of the run. The first field of `#timing` still holds the earlier parts' share. */
  #seconds(): number {
    return this.#timing.seconds + (performance.now() - this.#startedAt) / 1000;
  }

  #model() {
    const shape = transformerShape(this.#config);
    this.#parameters ??= instantiateTransformer(this.#core, shape, { optimizer: "none" }).parameters;
    return { shape, parameters: this.#parameters };
  }
}
