import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type ControllerOptions,
  type MemberEvaluation,
  type MemberProgress,
  newMember,
  trainEnsemble,
} from "../src/pool/controller.ts";
import { evaluationSteps } from "../src/run/schedule.ts";
import type { SegmentRequest, SegmentResult } from "../src/training/messages.ts";
import { type FakeOptions, fakeConfig, fakeSegment } from "./fixtures/fake-trainer.ts";

type Saved =
  | { kind: "member"; progress: MemberProgress }
  | { kind: "evaluation"; step: number; members: MemberEvaluation[] };

interface Setup extends FakeOptions {
  members: number;
  workers: number;
  config?: ReturnType<typeof fakeConfig>;
  /** Virtual duration of a segment. */
  duration?: (request: SegmentRequest) => number;
  /** May throw to crash an attempt. */
  before?: (request: SegmentRequest) => void;
  override?: Partial<ControllerOptions>;
}

/** Runs the controller on a virtual clock: segments end in the order of their durations, nothing really waits. */
async function simulate(setup: Setup) {
  const config = setup.config ?? fakeConfig(setup.members);
  const { members, workers, duration = () => 1 } = setup;
  const log: Saved[] = [];
  const dispatched: { request: SegmentRequest; at: number }[] = [];
  const running: { endsAt: number; end: () => void }[] = [];
  let now = 0;
  let stopped = false;
  const runSegment = (request: SegmentRequest): Promise<SegmentResult> => {
    dispatched.push({ request, at: now });
    return new Promise((resolve, reject) => {
      const end = () => {
        try {
          setup.before?.(request);
          resolve(
            fakeSegment(request, { ...setup, stop: (m, s) => stopped || (setup.stop?.(m, s) ?? false) }),
          );
        } catch (error) {
          reject(error);
        }
      };
      running.push({ endsAt: now + duration(request), end });
    });
  };
  let done = false;
  const result = trainEnsemble({
    config,
    steps: evaluationSteps(config),
    members: Array.from({ length: members }, (_, m) => newMember(m)),
    aggregated: -1,
    workers,
    runSegment,
    saveMember: async (progress) => void log.push({ kind: "member", progress }),
    saveEvaluation: async (step, parts) => void log.push({ kind: "evaluation", step, members: parts }),
    stopped: () => stopped,
    stop: () => {
      stopped = true;
    },
    ...setup.override,
  }).finally(() => {
    done = true;
  });
  result.catch(() => {});
  while (!done) {
    await new Promise((resolve) => setImmediate(resolve));
    if (running.length === 0) continue;
    running.sort((a, b) => a.endsAt - b.endsAt);
    const next = running.shift()!;
    now = next.endsAt;
    next.end();
  }
  return { final: await result, log, dispatched, makespan: now, stopRequested: () => stopped };
}

const evaluations = (log: Saved[]) => log.filter((entry) => entry.kind === "evaluation");

/** Everything about evaluations that ends up in files. */
const content = (log: Saved[]) =>
  JSON.stringify(evaluations(log).map(({ step, members }) => ({ step, members })));

/** What a run that was killed after these saves goes on from. */
function takenUp(kept: Saved[], members: number) {
  const aggregated = evaluations(kept).at(-1)?.step ?? -1;
  const progress = Array.from({ length: members }, (_, m) => {
    const last = kept.findLast((entry) => entry.kind === "member" && entry.progress.member === m);
    const { pending, ...rest } = last?.kind === "member" ? last.progress : newMember(m);
    return { ...rest, pending: pending.filter((p) => p.step > aggregated) };
  });
  return { aggregated, members: progress };
}

describe("trainEnsemble", () => {
  it("keeps every worker busy until too little work is left for all of them", async () => {
    // 5 members x 5 evaluations (steps 0, 5, .. 20) of equal length.
    const { makespan, dispatched } = await simulate({ members: 5, workers: 2 });
    expect(dispatched).toHaveLength(25);
    expect(makespan).toBe(Math.ceil(25 / 2));
  });

  it("gives the free worker the member with the least progress", async () => {
    const { dispatched } = await simulate({
      members: 4,
      workers: 2,
      duration: ({ member }) => 1 + member * 3,
    });
    const reached = [-1, -1, -1, -1];
    const busyUntil = [0, 0, 0, 0];
    for (const { request, at } of dispatched) {
      const idle = [0, 1, 2, 3].filter((m) => busyUntil[m] <= at && reached[m] < 20);
      const least = Math.min(...idle.map((m) => reached[m]));
      expect(reached[request.member]).toBe(least);
      reached[request.member] = request.toStep;
      busyUntil[request.member] = at + 1 + request.member * 3;
    }
  });

  it("reports the same evaluations in the same order for any number of workers and any timing", async () => {
    const reference = content((await simulate({ members: 4, workers: 1 })).log);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 20, maxLength: 20 }),
        async (workers, durations) => {
          const duration = ({ member, toStep }: SegmentRequest) => durations[(member * 5 + toStep) % 20];
          const { log } = await simulate({ members: 4, workers, duration });
          expect(content(log)).toBe(reference);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("takes an evaluation when its slowest member arrives, not later", async () => {
    const { log } = await simulate({
      members: 2,
      workers: 2,
      duration: ({ member }) => (member === 0 ? 1 : 10),
    });
    const at = log.findIndex((entry) => entry.kind === "evaluation" && entry.step === 5);
    const before = log[at - 1];
    expect(before.kind === "member" && [before.progress.member, before.progress.evaluated]).toEqual([1, 5]);
  });

  it("runs a crashed segment again from the same state, at most twice", async () => {
    const reference = content((await simulate({ members: 3, workers: 2 })).log);
    let crashes = 0;
    const { log, dispatched } = await simulate({
      members: 3,
      workers: 2,
      before: ({ member, toStep }) => {
        if (member === 1 && toStep === 10 && crashes++ < 2) throw new Error("boom");
      },
    });
    expect(content(log)).toBe(reference);
    const tries = dispatched.filter(({ request }) => request.member === 1 && request.toStep === 10);
    expect(tries).toHaveLength(3);
    for (const { request } of tries) expect(request).toEqual(tries[0].request);
  });

  it("drops a member that crashes three times and names it; the others finish", async () => {
    const { final, log } = await simulate({
      members: 3,
      workers: 2,
      before: ({ member, toStep }) => {
        if (member === 1 && toStep === 10) throw new Error("out of memory");
      },
    });
    expect(final[1].failure).toEqual({
      member: 1,
      step: 5,
      reason: "crash",
      message: "member 1 failed after step 5, 3 attempts: out of memory",
    });
    expect(evaluations(log).map((e) => [e.step, e.members.map((m) => m.member)])).toEqual([
      [0, [0, 1, 2]],
      [5, [0, 1, 2]],
      [10, [0, 2]],
      [15, [0, 2]],
      [20, [0, 2]],
    ]);
  });

  it("drops a member whose loss becomes non-finite, with the same evaluations for any timing", async () => {
    const nonFinite = { 2: 13 };
    const reference = await simulate({ members: 3, workers: 1, nonFinite });
    expect(reference.final[2].failure).toMatchObject({
      step: 13,
      reason: "nonFinite",
      message: "member 2: the loss became non-finite at step 13",
    });
    expect(evaluations(reference.log).map((e) => e.members.length)).toEqual([3, 3, 3, 2, 2]);
    // Member 2 fails long before the others reach the evaluations it still counts in.
    const early = await simulate({
      members: 3,
      workers: 3,
      nonFinite,
      duration: (r) => (r.member === 2 ? 1 : 50),
    });
    expect(content(early.log)).toBe(content(reference.log));
  });

  it("ends when fewer than two members are left", async () => {
    const nonFinite = { 0: 6, 2: 12 };
    const duration = ({ member }: SegmentRequest) => (member === 1 ? 10 : 1);
    const { final, log, dispatched } = await simulate({ members: 3, workers: 2, nonFinite, duration });
    expect(evaluations(log).map((e) => e.step)).toEqual([0, 5, 10]);
    expect(final.map((m) => m.failure?.step ?? null)).toEqual([6, null, 12]);
    // Member 1 comes to where the others failed, as it does when they are slower than it, and not beyond.
    const steps = dispatched
      .filter(({ request }) => request.member === 1)
      .map(({ request }) => request.toStep);
    expect(steps).toEqual([0, 5, 10, 15]);
  });

  it("ends with the same members, saved alike, for any number of workers, any timing and any cut", async () => {
    const saved = (log: Saved[], final: MemberProgress[]) =>
      JSON.stringify([
        final.map(({ evaluated, state, failure }) => [evaluated, state?.step, failure]),
        final.map((_, m) =>
          log.flatMap((e) => (e.kind === "member" && e.progress.member === m ? [e.progress.evaluated] : [])),
        ),
        content(log),
      ]);
    const failing = fc.array(fc.option(fc.integer({ min: 1, max: 20 })), { minLength: 2, maxLength: 4 });
    const durations = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 20, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(
        ...[failing, durations, fc.integer({ min: 2, max: 5 }), fc.nat(30)],
        async (fails, times, workers, cut) => {
          const setup = {
            members: fails.length,
            nonFinite: Object.fromEntries(fails.flatMap((at, m) => (at === null ? [] : [[m, at]]))),
            duration: ({ member, toStep }: SegmentRequest) => times[(member * 5 + toStep) % 20],
          };
          const reference = await simulate({ ...setup, workers: 1 });
          const expected = saved(reference.log, reference.final);
          const whole = await simulate({ ...setup, workers });
          expect(saved(whole.log, whole.final)).toBe(expected);
          const kept = whole.log.slice(0, cut);
          const rest = await simulate({ ...setup, workers, override: takenUp(kept, setup.members) });
          expect(saved([...kept, ...rest.log], rest.final)).toBe(expected);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("lets a single member run alone", async () => {
    const { log } = await simulate({ members: 1, workers: 4 });
    expect(evaluations(log).map((e) => e.step)).toEqual([0, 5, 10, 15, 20]);
  });

  it("can be cut off after any save and goes on to the same evaluations", async () => {
    const duration = ({ member, toStep }: SegmentRequest) => 1 + ((member * 7 + toStep * 3) % 11);
    const setup = { members: 3, workers: 2, duration, nonFinite: { 1: 14 } };
    const whole = await simulate(setup);
    for (let cut = 0; cut <= whole.log.length; cut++) {
      const kept = whole.log.slice(0, cut);
      const rest = await simulate({ ...setup, override: takenUp(kept, 3) });
      expect(content([...kept, ...rest.log]), `cut after ${cut} saves`).toBe(content(whole.log));
    }
  });

  it("carries the sums of an interrupted interval on", async () => {
    const reference = content((await simulate({ members: 2, workers: 1 })).log);
    // Every segment is stopped after three steps; the controller sends the member out again.
    let steps = 0;
    const { log, dispatched } = await simulate({ members: 2, workers: 1, stop: () => steps++ % 4 === 3 });
    expect(dispatched.length).toBeGreaterThan(10);
    expect(content(log)).toBe(reference);
  });

  it("stops the workers and fails when saving fails", async () => {
    let saves = 0;
    const stopped: boolean[] = [];
    const failing = simulate({
      members: 3,
      workers: 2,
      override: {
        saveMember: async () => {
          if (++saves === 4) throw new Error("no space left on device");
        },
        stop: () => void stopped.push(true),
      },
    });
    await expect(failing).rejects.toThrow("no space left on device");
    expect(stopped).toEqual([true]);
    expect(saves).toBe(4);
  });
});
