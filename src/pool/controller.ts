/**
 * The ensemble controller: it owns the state of every member and hands segments to whichever worker is free.
 * There is no barrier between members. Reads and writes no files and knows no clock: what it reports, and the
 * order in which it reports it, is a function of the segments' results only.
 */
import type { Config } from "../config/schema.ts";
import { messageOf } from "../errors.ts";
import type {
  IntervalSums,
  MemberAnswers,
  MemberState,
  ProbePrediction,
  SegmentRequest,
  SegmentResult,
} from "../training/messages.ts";
import { runLanes, WriteQueue } from "./jobs.ts";

/** How often a segment is tried when its worker crashes. */
const ATTEMPTS = 3;

/** One member's part of an evaluation: its predictions at `step`, and means over the interval that led there. */
export interface MemberEvaluation {
  member: number;
  step: number;
  /** Training tokens of the member so far. */
  tokens: number;
  /** Means over the training steps since the previous evaluation; NaN at step 0. */
  loss: number;
  gradientNorm: number;
  predictions: ProbePrediction[];
  /** To the answer table, where it was asked. */
  answers?: MemberAnswers;
}

export interface MemberFailure {
  member: number;
  step: number;
  reason: "nonFinite" | "crash";
  message: string;
}

/** Everything known of a member. Never mutated: an update is a new object, so it can be saved while training goes on. */
export interface MemberProgress {
  member: number;
  /** null before the first segment. */
  state: MemberState | null;
  /** The last evaluation step the member has completed; -1 before the first. */
  evaluated: number;
  tokens: number;
  /** Sums since `evaluated`; other than zero only after an interruption. */
  sums: IntervalSums;
  /** Evaluations that wait for the other members, ascending. */
  pending: readonly MemberEvaluation[];
  failure: MemberFailure | null;
}

export interface ControllerOptions {
  config: Config;
  /** Evaluation steps, ascending. */
  steps: readonly number[];
  /** Where each member starts: `newMember(m)`, or what an earlier run saved. */
  members: readonly MemberProgress[];
  /** Evaluations up to this step have been reported before; -1: none. */
  aggregated: number;
  workers: number;
  runSegment: (request: SegmentRequest) => Promise<SegmentResult>;
  /** Persists a member after a segment. `evaluated` is set if the segment ended in an evaluation. */
  saveMember: (progress: MemberProgress, evaluated: MemberEvaluation | null) => Promise<void>;
  /** Persists one evaluation of the ensemble: the members that reached it, ascending. Called in the order of steps. */
  saveEvaluation: (step: number, members: MemberEvaluation[]) => Promise<void>;
  /** Whether the run has been asked to stop. */
  stopped: () => boolean;
  /** Asks the running segments to return at their next step. */
  stop: () => void;
}

/** The fewest members an ensemble of `members` may shrink to: two disagree, one cannot. */
export const quorum = (members: number) => Math.min(2, members);

export function newMember(member: number): MemberProgress {
  const sums = { steps: 0, loss: 0, gradientNorm: 0 };
  return { member, state: null, evaluated: -1, tokens: 0, sums, pending: [], failure: null };
}

/**
 * Whether nothing is left to do: each member has failed, is at the end, or is where the others have left it alone. No
 * member goes on from an evaluation that fewer than `quorum` members can reach.
 */
export const isComplete = (members: readonly MemberProgress[], steps: readonly number[]): boolean =>
  members.every((m) => m.failure || m.evaluated === steps.at(-1) || !hasQuorum(members, m.evaluated));

/** Whether enough members can still come to the evaluation at `step`, or have. */
const hasQuorum = (members: readonly MemberProgress[], step: number) =>
  members.filter((m) => !m.failure || m.evaluated >= step).length >= quorum(members.length);

/**
 * Trains all members to the last of `steps`, or until stopped. The free worker takes the member with the least
 * progress; an evaluation is reported once every live member has reached its step. A failed member counts in
 * the evaluations it had reached. When fewer than `quorum` members are left, each trains to the first evaluation
 * that they cannot make together, or fails on the way there, whatever the number of workers and their speed: one that
 * is ahead of all others has its segment taken in only when another one has come to where that began.
 * A crashed segment is run again from the controller's copy of the state, so a retry changes no result.
 *
 * Saving is one queue in the order of the results: what a member's file no longer holds as pending has been
 * saved as an evaluation before.
 * @returns the members as they are at the end.
 * @throws whatever `saveMember` or `saveEvaluation` throws, after the running segments have returned.
 */
export async function trainEnsemble(options: ControllerOptions): Promise<MemberProgress[]> {
  const { config, steps, runSegment, saveMember, saveEvaluation, stopped, stop } = options;
  const members = [...options.members];
  const busy = new Set<number>();
  const needed = quorum(members.length);
  let aggregated = options.aggregated;
  /** Called when the member that waits for others, if one does, may have to wait no longer. */
  let askAgain: () => void = () => {};
  const queue = new WriteQueue(() => {
    stop();
    askAgain();
  });

  const nextStep = (progress: MemberProgress) => steps.find((step) => step > progress.evaluated);

  function leastAdvanced(): MemberProgress | undefined {
    let least: MemberProgress | undefined;
    for (const candidate of members) {
      if (candidate.failure || busy.has(candidate.member)) continue;
      if (nextStep(candidate) === undefined || !hasQuorum(members, candidate.evaluated)) continue;
      if (!least || isBehind(candidate, least)) least = candidate;
    }
    return least;
  }

  /** Whether enough members have come to the evaluation at `step`; null while that is not known. */
  function together(step: number): boolean | null {
    if (members.filter((m) => m.evaluated >= step).length >= needed) return true;
    return stopped() || queue.failed || !hasQuorum(members, step) ? false : null;
  }

  /**
   * `together`, once it is known. Who has to wait is the one member ahead of all others, and they are under way: a member
   * is sent out only when there is none behind it.
   */
  async function joined(step: number): Promise<boolean> {
    const known = together(step);
    if (known !== null) return known;
    await new Promise<void>((resolve) => {
      askAgain = () => together(step) !== null && resolve();
    });
    return together(step) === true;
  }

  /** Reports every evaluation that no live member has still to reach. */
  function aggregate(): void {
    for (;;) {
      const step = steps.find((s) => s > aggregated);
      if (step === undefined || members.some((m) => !m.failure && m.evaluated < step)) return;
      const parts = members.flatMap((m) => m.pending.filter((p) => p.step === step));
      if (parts.length < needed) return;
      for (const [i, m] of members.entries())
        members[i] = { ...m, pending: m.pending.filter((p) => p.step > step) };
      aggregated = step;
      queue.add(() => saveEvaluation(step, parts));
    }
  }

  aggregate();
  await runLanes<MemberProgress, SegmentResult | Error | null>({
    workers: Math.min(options.workers, members.length),
    next: () => {
      const progress = stopped() ? undefined : leastAdvanced();
      if (progress) busy.add(progress.member);
      return progress;
    },
    run: async (before) => {
      const { state, member, sums: carried } = before;
      const toStep = nextStep(before)!;
      const outcome = await attempt(() => runSegment({ config, member, state, toStep, carried }), stopped);
      return isPartial(outcome) || (await joined(before.evaluated)) ? outcome : null;
    },
    done: async (before, outcome) => {
      if (outcome === null) {
        askAgain();
        return;
      }
      const { member } = before;
      // `pending` may have shrunk meanwhile, so the update starts from the member as it is now.
      const { after: advanced, evaluation } = advance(members[member], outcome, nextStep(before)!);
      // One that was reported before waits for nobody: the member trained again to where it had been.
      const after = { ...advanced, pending: advanced.pending.filter(({ step }) => step > aggregated) };
      members[member] = after;
      busy.delete(member);
      askAgain();
      const saved = queue.add(() => saveMember(after, evaluation));
      aggregate();
      await saved;
    },
    queue,
  });
  return members;
}

/** Further from the last evaluation first: whoever waits at one must find those before it under way. */
function isBehind(a: MemberProgress, b: MemberProgress): boolean {
  const ahead = a.evaluated - b.evaluated || (a.state?.step ?? -1) - (b.state?.step ?? -1);
  return ahead < 0;
}

/** Whether it was stopped on the way: nothing is known of the evaluation it was to end in. */
const isPartial = (outcome: SegmentResult | Error | null): boolean =>
  outcome !== null &&
  !(outcome instanceof Error) &&
  outcome.predictions.length === 0 &&
  outcome.nonFinite === undefined;

/** The segment's result, the error of its last attempt, or null if it failed while the run was stopping. */
async function attempt(
  run: () => Promise<SegmentResult>,
  stopped: () => boolean,
): Promise<SegmentResult | Error | null> {
  for (let i = 1; ; i++) {
    try {
      return await run();
    } catch (error) {
      if (stopped()) return null;
      if (i === ATTEMPTS) return error instanceof Error ? error : new Error(messageOf(error));
    }
  }
}

function advance(
  before: MemberProgress,
  outcome: SegmentResult | Error,
  toStep: number,
): { after: MemberProgress; evaluation: MemberEvaluation | null } {
  const { member } = before;
  if (outcome instanceof Error) {
    const step = before.state?.step ?? 0;
    const message = `member ${member} failed after step ${step}, ${ATTEMPTS} attempts: ${outcome.message}`;
    return {
      after: { ...before, failure: { member, step, reason: "crash", message } },
      evaluation: null,
    };
  }
  const { state, sums, predictions, answers, nonFinite } = outcome;
  const tokens = before.tokens + outcome.tokens;
  if (nonFinite) {
    const { what, step } = nonFinite;
    const message = `member ${member}: the ${what} became non-finite at step ${step}`;
    return {
      after: { ...before, failure: { member, step, reason: "nonFinite", message } },
      evaluation: null,
    };
  }
  if (isPartial(outcome)) return { after: { ...before, state, sums, tokens }, evaluation: null };
  const evaluation: MemberEvaluation = {
    member,
    step: toStep,
    tokens,
    loss: sums.loss / sums.steps,
    gradientNorm: sums.gradientNorm / sums.steps,
    predictions,
    ...(answers && { answers }),
  };
  return {
    after: {
      ...newMember(member),
      state,
      evaluated: toStep,
      tokens,
      pending: [...before.pending, evaluation],
    },
    evaluation,
  };
}
