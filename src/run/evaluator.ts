/** From the members' parts of an evaluation to its records. Knows no file and no clock. */
import type { Config } from "../config/schema.ts";
import type { Batch } from "../core/batch.ts";
import type { MemberEvaluation } from "../pool/controller.ts";
import { type AnswerTable, drawAnswerTable } from "../tasks/answer-table.ts";
import { CYCLE_SET, canBeAskedBack, shownFirst } from "../tasks/cycle.ts";
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import { createProbeSets, type ProbeSet } from "../tasks/probes.ts";
import { learningRateAt } from "../training/learning-rate.ts";
import { measureAnswers } from "./answers.ts";
import { measureEvaluation } from "./measure.ts";
import type { AnswerRecord, MetricsRecord, References } from "./records.ts";

export class Evaluator {
  readonly #config: Config;
  #probes: ProbeSet[] | null = null;
  #table: AnswerTable | null = null;

  constructor(config: Config) {
    this.#config = config;
  }

  /** The probe sets with their exact references; computed when first needed, while the workers train. */
  get #probeSets(): ProbeSet[] {
    this.#probes ??= createProbeSets(this.#config);
    return this.#probes;
  }

  get references(): References {
    return Object.fromEntries(this.#probeSets.map(({ name, reference }) => [name, reference]));
  }

  /** (prompts) the true classes at the last position of a probe set; none of a set that the run does not have. */
  targets(set: ProbeSetName): Int32Array {
    const batch = this.#batch(set);
    const positions = batch?.positions.length ?? 1;
    return batch ? batch.targets.filter((_, i) => i % positions === positions - 1) : new Int32Array();
  }

  /** (prompts) what the prompts show that are asked back. */
  get cycleLabels(): Int32Array {
    const { task } = this.#config;
    return canBeAskedBack(task) ? shownFirst(this.#batch(CYCLE_SET)!, task.variables) : new Int32Array();
  }

  #batch(set: ProbeSetName): Batch | undefined {
    return this.#probeSets.find(({ name }) => name === set)?.batch;
  }

  metrics(step: number, members: readonly MemberEvaluation[]): MetricsRecord {
    const { training, evaluation } = this.#config;
    return measureEvaluation(step, members, this.#probeSets, {
      learningRate: learningRateAt(step, training),
      posteriorSamples: evaluation.posteriorSamples,
    });
  }

  /** null unless all these members were asked. */
  answers(step: number, members: readonly MemberEvaluation[]): AnswerRecord | null {
    const answers = members.flatMap((member) => member.answers ?? []);
    if (answers.length < members.length) return null;
    const { task, seed, evaluation } = this.#config;
    this.#table ??= drawAnswerTable(task, seed, evaluation.prompts);
    return measureAnswers(step, answers, this.#table);
  }
}
