/** One run in the page: the command line's controller over Web Workers, with what it has found so far. */
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import {
  isComplete,
  type MemberEvaluation,
  type MemberFailure,
  type MemberProgress,
  newMember,
  trainEnsemble,
} from "../pool/controller.ts";
import { Evaluator } from "../run/evaluator.ts";
import { type EventReading, readEvents } from "../run/events.ts";
import type { AnswerRecord, MetricsRecord, References, TimingRecord } from "../run/records.ts";
import { type RunSchedule, runSchedule } from "../run/schedule.ts";
import type { SegmentRequest, SegmentResult } from "../training/messages.ts";
import { KeptPredictions } from "./kept-predictions.ts";
import type { WebWorkers } from "./workers.ts";

export interface SessionObserver {
  /** After every evaluation, which is then the last of `records`. */
  evaluated(): void;
  memberFailed(failure: MemberFailure): void;
}

export interface SessionOptions {
  config: Config;
  core: CoreModule;
  workers: WebWorkers;
  observer: SessionObserver;
}

export class Session {
  readonly config: Config;
  readonly core: CoreModule;
  readonly schedule: RunSchedule;
  readonly records: MetricsRecord[] = [];
  readonly answers: AnswerRecord[] = [];
  readonly timing: TimingRecord[] = [];
  readonly #predictions: KeptPredictions;
  readonly #workers: WebWorkers;
  readonly #observer: SessionObserver;
  readonly #evaluator: Evaluator;
  #members: readonly MemberProgress[];
  #spent = { tokens: 0, trainSeconds: 0, evaluationSeconds: 0 };
  /** Of the parts before; the present one began at `#since`. */
  #seconds = 0;
  #since: number | null = null;

  constructor({ config, core, workers, observer }: SessionOptions) {
    this.config = config;
    this.core = core;
    this.schedule = runSchedule({ config });
    this.#workers = workers;
    this.#observer = observer;
    this.#evaluator = new Evaluator(config);
    const { examples: positions, modulus: classes } = config.task;
    this.#predictions = new KeptPredictions(config.ensemble.members, { positions, classes });
    this.#members = Array.from({ length: config.ensemble.members }, (_, member) => newMember(member));
  }

  get members(): readonly MemberProgress[] {
    return this.#members;
  }

  get references(): References {
    return this.#evaluator.references;
  }

  /** As an archive that `epigrok diagnose` reads. */
  get predictions(): Uint8Array<ArrayBuffer> {
    return this.#predictions.npz({
      cycleLabels: this.#evaluator.cycleLabels,
      seenLabels: this.#evaluator.targets("seenTasks"),
      unseenLabels: this.#evaluator.targets("unseenTasks"),
    });
  }

  /** What the evaluations so far show, with and without labels. */
  get reading(): EventReading {
    return readEvents(this.records, this.references, this.config.task.modulus);
  }

  /** Of training, pauses not counted. */
  get seconds(): number {
    return this.#seconds + (this.#since === null ? 0 : (performance.now() - this.#since) / 1000);
  }

  /** The evaluation that comes next; null if none does. */
  get nextStep(): number | null {
    const last = this.records.at(-1)?.step ?? -1;
    return this.schedule.steps.find((step) => step > last) ?? null;
  }

  /** Whether nothing is left to do: the evaluations go to the end, or too few members live. */
  get finished(): boolean {
    return isComplete(this.#members, this.schedule.steps);
  }

  /** Trains on to the evaluation at `until`, or to the end; returns earlier after `pause`. */
  async train(until = Number.POSITIVE_INFINITY): Promise<void> {
    this.#workers.resume();
    this.#since = performance.now();
    try {
      this.#members = await trainEnsemble({
        config: this.config,
        steps: this.schedule.steps.filter((step) => step <= until),
        members: this.#members,
        aggregated: this.records.at(-1)?.step ?? -1,
        workers: this.#workers.count,
        runSegment: (request) => this.#timed(request),
        saveMember: async ({ failure }) => {
          if (failure) this.#observer.memberFailed(failure);
        },
        saveEvaluation: async (step, members) => this.#record(step, members),
        stopped: () => this.#workers.stopped,
        stop: () => this.#workers.stop(),
      });
    } finally {
      this.#seconds = this.seconds;
      this.#since = null;
    }
  }

  pause(): void {
    this.#workers.stop();
  }

  async #timed(request: SegmentRequest): Promise<SegmentResult> {
    const answers = this.schedule.answers.has(request.toStep);
    const result = await this.#workers.runSegment(answers ? { ...request, answers } : request);
    this.#spent.tokens += result.tokens;
    this.#spent.trainSeconds += result.trainSeconds;
    this.#spent.evaluationSeconds += result.evaluationSeconds;
    return result;
  }

  #record(step: number, members: readonly MemberEvaluation[]): void {
    const answers = this.#evaluator.answers(step, members);
    if (answers) this.answers.push(answers);
    this.records.push(this.#evaluator.metrics(step, members));
    this.timing.push({ step, seconds: this.seconds, ...this.#spent });
    this.#predictions.add(step, members);
    this.#observer.evaluated();
  }
}
