/**
 * The diagnosis: from predictions on prompts of unseen tasks, without their labels, whether an ensemble has generalised
 * to them, when it did, and how accurate it is. Of any training system.
 */
import { decomposeMembers } from "../uncertainty/decompose.ts";
import { type DetectorState, GrokkingDetector } from "../uncertainty/detector.ts";
import { type AccuracyScale, SUSTAINED_EVALUATIONS } from "../uncertainty/events.ts";
import { STATISTICS, UNLABELLED_STATISTICS, type UnlabelledStatistic } from "../uncertainty/statistics.ts";
import {
  refuse,
  requireFraction,
  requireInteger,
  requireKeys,
  requireLength,
  requireObject,
} from "../validate.ts";
import { distributions, type NumberArray, requireShape } from "./arrays.ts";
import type { CyclePrediction, EnsemblePrediction, LabelledPrediction } from "./ensemble.ts";
import { accuracyOf, answersOf, type Estimates, estimatesOf } from "./estimators.ts";
import {
  type AccuracyEstimate,
  ALARM,
  combine,
  generalisedProbability,
  RULE,
  type State,
  stateOf,
} from "./rule.ts";

/** How predictions are to be read. */
export interface DiagnosisSettings {
  /** Whether they are logits, which a softmax makes probabilities of. Default: probabilities. */
  logits?: boolean;
  /** Accuracy of a guess on unseen tasks. Default: one over the classes. */
  chance?: number;
  /** The best accuracy there can be on unseen tasks, where a context leaves an answer open. Default 1. */
  ceiling?: number;
  /** Share of the prompts asked back that a guess is right on, and that the best predictor is. Default: as these. */
  cycleChance?: number;
  cycleCeiling?: number;
}

/** Predictions, and a class for each of their prompts. */
export interface Labelled {
  predictions: NumberArray;
  labels: ArrayLike<number>;
}

/** The predictions of an ensemble at one step of training. */
export interface Evaluation {
  step: number;
  /** On prompts of unseen tasks, the same at every step: (members, prompts, classes). */
  predictions: NumberArray;
  /**
   * On the same prompts asked back, (members, prompts, classes): the query and the member's own most probable answer in
   * the place of an example, and the input of that example as the query. Its output, which the prompt shows, is the
   * label. No answer is needed that the prompts do not have themselves.
   */
  cycle?: Labelled;
  /** On prompts of seen tasks, and their answers: two more estimates of the accuracy on unseen tasks come of them. */
  seen?: Labelled;
  /** The answers on unseen tasks, if they are known: the diagnosis does not use them, its table shows the accuracy. */
  labels?: ArrayLike<number>;
}

/** What the predictions at one step say. */
export interface EvaluationDiagnosis {
  step: number;
  members: number;
  state: State;
  /** That the accuracy on unseen tasks is at least nine tenths of the way from chance to the ceiling. */
  generalised: number;
  /** Of the ensemble's mean prediction on unseen tasks. */
  estimatedAccuracy: AccuracyEstimate;
  /** What it is made of. */
  estimates: Estimates;
  /** Means over the prompts of unseen tasks; nats. */
  statistics: Record<UnlabelledStatistic, number>;
  /** null: without labels of seen tasks. */
  seenAccuracy: number | null;
  /** On unseen tasks, for comparison; null without their labels. */
  accuracy: number | null;
}

/** What the predictions so far say. */
export interface DiagnosisResult {
  schema: "epigrok-diagnosis/1";
  /** At the newest evaluation, as the estimates there. */
  state: State;
  /** Of that state; of an undecided one, of the likelier side. */
  probability: number;
  /** First of three evaluations in a row at which unseen tasks are more likely solved than not; null: none yet. */
  alarmStep: number | null;
  estimatedAccuracy: AccuracyEstimate;
  /** Where mutual information peaked, and where it collapsed; null: it has not. */
  uncertaintyPeakStep: number | null;
  collapseStep: number | null;
  prompts: number;
  classes: number;
  chance: number;
  ceiling: number;
  /** Of prompts asked back; null where none were, at the newest evaluation. */
  cycleChance: number | null;
  cycleCeiling: number | null;
  evaluations: EvaluationDiagnosis[];
  /** In words. */
  rule: string;
}

/** Follows a training run, one evaluation at a time. */
export class Diagnosis {
  readonly #settings: DiagnosisSettings;
  readonly #detector = new GrokkingDetector();
  readonly #evaluations: EvaluationDiagnosis[] = [];
  #shape: { prompts: number; classes: number } | null = null;
  #scale: AccuracyScale = { chance: 0, ceiling: 1 };
  #cycleScale: AccuracyScale | null = null;
  #alarmStep: number | null = null;

  /** @throws RangeError for chance and ceiling outside 0 to 1, or not in this order */
  constructor(settings: DiagnosisSettings = {}) {
    requireKeys("settings", settings, ["logits", "chance", "ceiling", "cycleChance", "cycleCeiling"]);
    const { chance = 0, ceiling = 1, cycleChance = chance, cycleCeiling = ceiling } = settings;
    requireFraction("chance", chance);
    requireFraction("ceiling", ceiling);
    requireFraction("cycleChance", cycleChance);
    requireFraction("cycleCeiling", cycleCeiling);
    if (chance >= ceiling) refuse("chance", chance, `below the ceiling, ${ceiling}`);
    if (cycleChance >= cycleCeiling)
      refuse("cycleChance", cycleChance, `below the ceiling there, ${cycleCeiling}`);
    this.#settings = settings;
  }

  /**
   * Takes in the next evaluation.
   *
   * @returns what it says
   * @throws RangeError naming the first value, row, label or shape that cannot be, or does not go with the evaluations
   *   before; the evaluation is then not taken in
   */
  push(evaluation: Evaluation): EvaluationDiagnosis {
    requireObject("evaluation", evaluation);
    return this.take(evaluation, []);
  }

  /** @internal @param lead indices before those of members, in messages */
  take(
    { step, predictions, cycle: asked, seen, labels }: Evaluation,
    lead: readonly number[],
  ): EvaluationDiagnosis {
    const unseen = this.#ensemble("predictions", predictions, lead);
    const { members, classes } = unseen;
    const prompts = predictions.shape[1];
    this.#requireSame(prompts, classes);
    const labelledSeen = seen === undefined ? null : this.#labelled("seen", seen, classes, lead);
    if (labels) requireLabels("labels", labels, prompts, classes);
    const { chance = 1 / classes, ceiling = 1 } = this.#settings;
    if (chance >= ceiling) refuse("ceiling", ceiling, `above the chance of a guess, ${chance}`);
    const scale = { chance, ceiling };
    const cycle = asked === undefined ? null : this.#cycle(asked, predictions.shape, scale, lead);
    const statistics = Object.fromEntries(
      UNLABELLED_STATISTICS.map((name) => [
        name,
        STATISTICS[name].ofPredictions({ ...unseen, targets: new Int32Array() }),
      ]),
    ) as Record<UnlabelledStatistic, number>;
    this.#detector.push({ ...statistics, step, members, classes });
    this.#shape = { prompts, classes };
    this.#scale = scale;
    this.#cycleScale = cycle?.scale ?? null;

    const estimates = estimatesOf(unseen, { seen: labelledSeen, cycle }, scale);
    const estimatedAccuracy = combine(estimates, prompts, scale);
    const confirmed = members > 1 || seen !== undefined || asked !== undefined;
    const generalised = generalisedProbability(estimatedAccuracy, scale, confirmed);
    const result = {
      ...{ step, members, state: stateOf(generalised, statistics.expectedEntropy / Math.log(classes)) },
      ...{ generalised, estimatedAccuracy, estimates, statistics },
      seenAccuracy: labelledSeen ? accuracyOf(labelledSeen) : null,
      accuracy: labels ? accuracyOf({ ...unseen, targets: labels }) : null,
    };
    this.#evaluations.push(result);
    const newest = this.#evaluations.slice(-SUSTAINED_EVALUATIONS);
    const speaks = ({ state, generalised }: EvaluationDiagnosis) =>
      state !== "untrained" && generalised > ALARM;
    if (newest.length === SUSTAINED_EVALUATIONS && newest.every(speaks)) this.#alarmStep ??= newest[0].step;
    return result;
  }

  /** What the mutual information shows by itself, with its caveats. */
  get detector(): DetectorState {
    return this.#detector.state;
  }

  /** @throws RangeError before the first evaluation */
  get result(): DiagnosisResult {
    const last = this.#evaluations.at(-1) ?? refuse("evaluations", 0, "at least 1");
    const { state, generalised, estimatedAccuracy } = last;
    const { uncertaintyPeakStep, collapseStep } = this.detector;
    return {
      schema: "epigrok-diagnosis/1",
      state,
      probability: {
        untrained: 1 - generalised,
        memorising: 1 - generalised,
        generalising: generalised,
        undecided: Math.max(generalised, 1 - generalised),
      }[state],
      alarmStep: this.#alarmStep,
      estimatedAccuracy,
      ...{ uncertaintyPeakStep, collapseStep },
      ...this.#shape!,
      ...this.#scale,
      cycleChance: this.#cycleScale?.chance ?? null,
      cycleCeiling: this.#cycleScale?.ceiling ?? null,
      evaluations: [...this.#evaluations],
      rule: RULE,
    };
  }

  #ensemble(name: string, array: NumberArray, lead: readonly number[]): EnsemblePrediction {
    requireShape(name, array, ["members", "prompts", "classes"]);
    const [members, prompts, classes] = array.shape;
    const size = prompts * classes;
    const each = Array.from({ length: members }, (_, member) =>
      distributions(
        array.data.subarray(member * size, (member + 1) * size),
        classes,
        this.#settings.logits ?? false,
        (row, entry) => `${name}[${[...lead, member, row, ...(entry === undefined ? [] : [entry])].join()}]`,
      ),
    );
    const parts = decomposeMembers(each, prompts, classes, String);
    const memberAnswers = each.map((p) => answersOf(p, classes));
    const answers = answersOf(parts.mean, classes);
    return { ...parts, members, classes, memberProbabilities: each, memberAnswers, answers };
  }

  #labelled(
    name: "seen" | "cycle",
    labelled: Labelled,
    classes: number,
    lead: readonly number[],
  ): LabelledPrediction {
    const { predictions, labels } = requireObject(name, labelled);
    const ensemble = this.#ensemble(name, predictions, lead);
    if (ensemble.classes !== classes)
      refuse(`classes of ${name}`, ensemble.classes, `${classes}, as those of predictions`);
    requireLabels(`${name}Labels`, labels, predictions.shape[1], classes);
    return { ...ensemble, targets: labels };
  }

  /** @param scale the accuracies', in place of what is not given */
  #cycle(
    cycle: Labelled,
    [members, prompts, classes]: readonly number[],
    scale: AccuracyScale,
    lead: readonly number[],
  ): CyclePrediction {
    const back = this.#labelled("cycle", cycle, classes, lead);
    const [ownMembers, ownPrompts] = cycle.predictions.shape;
    if (ownMembers !== members)
      refuse("members of cycle", ownMembers, `${members}, as those of predictions: each is asked back`);
    if (ownPrompts !== prompts)
      refuse("prompts of cycle", ownPrompts, `${prompts}, as those of predictions: each is asked back`);
    const { cycleChance = scale.chance, cycleCeiling = scale.ceiling } = this.#settings;
    if (cycleChance >= cycleCeiling)
      refuse("cycleCeiling", cycleCeiling, `above the chance of a guess, ${cycleChance}`);
    return { ...back, scale: { chance: cycleChance, ceiling: cycleCeiling } };
  }

  #requireSame(prompts: number, classes: number): void {
    const before = this.#shape;
    if (before && prompts !== before.prompts)
      refuse(
        "prompts of predictions",
        prompts,
        `${before.prompts}, as at the step before: they are the same`,
      );
    if (before && classes !== before.classes)
      refuse("classes of predictions", classes, `${before.classes}, as at the step before`);
  }
}

function requireLabels(name: string, labels: ArrayLike<number>, prompts: number, classes: number): void {
  requireLength(name, labels, prompts, "as many as prompts");
  for (let b = 0; b < prompts; b++) requireInteger(`${name}[${b}]`, labels[b], 0, classes - 1);
}

/** Predictions through training, as arrays over the steps. */
export interface DiagnoseOptions extends DiagnosisSettings {
  /** On prompts of unseen tasks: (steps, members, prompts, classes). */
  predictions: NumberArray;
  /** Of training, ascending. Default: 0, 1, 2 ... */
  steps?: ArrayLike<number>;
  /**
   * On the same prompts asked back, (steps, members, prompts, classes), and what the prompts show there, (prompts): see
   * `Evaluation`.
   */
  cycle?: Labelled;
  /** On prompts of seen tasks, (steps, members, prompts, classes), and the answers to these, (prompts). */
  seen?: Labelled;
  /** The answers on unseen tasks, (prompts), for comparison only. */
  labels?: ArrayLike<number>;
}

/**
 * Tells from predictions whether, when and how well an ensemble generalised to tasks it was not trained on. Labels of
 * these are not used. The rule is `rule` of the result; how often it is wrong is in docs/diagnosis.md.
 *
 * @throws RangeError naming the first value, row, label or shape that cannot be, as `predictions[step,member,prompt,class]`
 */
export function diagnose(options: DiagnoseOptions): DiagnosisResult {
  return runDiagnosis(requireObject("options", options)).result;
}

/** `diagnose` with what else is known in the end. */
export function runDiagnosis({
  predictions,
  steps,
  cycle,
  seen,
  labels,
  ...settings
}: DiagnoseOptions): Diagnosis {
  const axes = ["steps", "members", "prompts", "classes"];
  requireShape("predictions", predictions, axes);
  const count = predictions.shape[0];
  if (steps) requireLength("steps", steps, count, "as many as predictions have");
  for (const [name, labelled] of Object.entries({ cycle, seen })) {
    if (!labelled) continue;
    requireShape(name, labelled.predictions, axes);
    const own = labelled.predictions.shape[0];
    if (own !== count) refuse(`steps of ${name}`, own, `${count}, as those of predictions`);
  }
  const at = (labelled: Labelled | undefined, s: number) =>
    labelled && { ...labelled, predictions: part(labelled.predictions, s) };
  const diagnosis = new Diagnosis(settings);
  for (let s = 0; s < count; s++) {
    const step = steps ? Number(steps[s]) : s;
    const evaluation = { step, predictions: part(predictions, s), labels };
    diagnosis.take({ ...evaluation, cycle: at(cycle, s), seen: at(seen, s) }, [s]);
  }
  return diagnosis;
}

/** Number i along the first dimension. */
function part({ shape: [count, ...shape], data }: NumberArray, i: number): NumberArray {
  const size = data.length / count;
  return { shape, data: data.subarray(i * size, (i + 1) * size) };
}
