import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DetectorState, detectGrokking } from "../src/uncertainty/detector.ts";
import type { LabelledRun } from "../src/uncertainty/events.ts";
import { verdict } from "../src/uncertainty/verdict.ts";

/** The state after these MI values, one evaluation every 1000 steps. */
function detected(values: number[], members = 4): DetectorState {
  return detectGrokking(
    values.map((mutualInformation, i) => ({
      step: 1000 * i,
      mutualInformation,
      expectedEntropy: 0.5,
      totalEntropy: 0.5 + mutualInformation,
      disagreement: mutualInformation / 2,
      members,
      classes: 23,
    })),
  );
}

const COLLAPSED = detected([0.1, 0.5, 0.9, 0.8, 0.7, 0.3, 0.1, 0.1]);
const DIVIDED = detected([0.1, 0.5, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8]);
const LOW = detected([0.1, 0.1, 0.1, 0.05]);
const WITHDRAWN = detected([0.1, 0.9, 0.9, 0.3, 0.3, 0.3, 0.7, 0.7, 0.7]);

const run = (change: Partial<LabelledRun> = {}): LabelledRun => ({
  memorisedStep: 2000,
  grokStep: 5000,
  final: { seenTasks: 1, unseenTasks: 0.97 },
  meanPrediction: { memorisedStep: 1000, grokStep: 4000 },
  perMember: [5000, 6000, 6000, null].map((grokStep, member) => ({ member, memorisedStep: 2000, grokStep })),
  ...change,
});
const notGrokked = (unseenTasks: number) =>
  run({ grokStep: null, final: { seenTasks: 1, unseenTasks }, perMember: [] });

describe("verdict", () => {
  it("a grok that the collapse coincides with, word by word", () => {
    expect(verdict(run(), COLLAPSED)).toBe(
      "Memorised at step 2000; grokked at step 5000, 2.5 times the steps it took to memorise; " +
        "uncertainty peaked at step 2000 (0.90 nats, 4 members); uncertainty collapsed at step 5000 (now 0.10 nats). " +
        "The label-free collapse coincides with the grok step; 3 of 4 members grokked.",
    );
  });
  it("a collapse before or after the grok step", () => {
    expect(verdict(run({ grokStep: 7000 }), COLLAPSED)).toMatch(/precedes the grok step by 2000 steps/);
    expect(verdict(run({ grokStep: 3000 }), COLLAPSED)).toMatch(/follows the grok step by 2000 steps/);
  });
  it("steps within a tenth, or within one evaluation, coincide", () => {
    expect(verdict(run({ grokStep: 5500 }), COLLAPSED)).toMatch(
      /coincides with the grok step \(500 steps before\)/,
    );
    expect(verdict(run({ grokStep: 4000 }), COLLAPSED)).toMatch(/follows/);
    expect(verdict(run({ grokStep: 4000 }), COLLAPSED, { evaluationEvery: 1000 })).toMatch(
      /coincides with the grok step \(1000 steps after\)/,
    );
  });
  it("generalisation without delay", () => {
    expect(verdict(run({ memorisedStep: 5000 }), COLLAPSED)).toMatch(
      /grokked at step 5000, as it learnt.*no delay/,
    );
    expect(verdict(run({ memorisedStep: 0 }), COLLAPSED)).toMatch(
      /Memorised at step 0; grokked at step 5000; /,
    );
    expect(
      verdict(run({ memorisedStep: null, final: { seenTasks: 0.8, unseenTasks: 1 } }), COLLAPSED),
    ).toMatch(
      /^Seen tasks not memorised \(80 % of the way from chance to the ceiling at the end\); grokked at step 5000; /,
    );
  });
  it("generalisation that did not last", () => {
    expect(verdict(run({ final: { seenTasks: 1, unseenTasks: 0.6 } }), COLLAPSED)).toMatch(
      /did not last \(60 % at the end\)/,
    );
  });
  it("no grok and no collapse", () => {
    const text = verdict(notGrokked(0.2), DIVIDED);
    expect(text).toMatch(/unseen tasks not solved \(20 % of the way/);
    expect(text).toMatch(/no collapse seen: now 0\.80 nats/);
    expect(text).toMatch(/predictions and labels agree \(.*still disagree\)/);
  });
  it("a collapse without generalisation is a failure of the diagnostic", () => {
    expect(verdict(notGrokked(0.2), COLLAPSED)).toMatch(
      /collapsed without generalisation: the diagnostic is wrong here/,
    );
  });
  it("a collapse with partial generalisation is not called wrong", () => {
    const text = verdict(notGrokked(0.8), COLLAPSED);
    expect(text).toMatch(/generalisation is partial \(80 % at the end\)/);
    expect(text).not.toMatch(/wrong/);
  });
  it("a grok without a collapse is a failure of the diagnostic, with its reason", () => {
    expect(verdict(run(), DIVIDED)).toMatch(/the diagnostic misses it \(.*still disagree\)/);
    expect(verdict(run(), LOW)).toMatch(/uncertainty shows no peak.*the diagnostic misses it \(no peak seen/);
  });
  it("a withdrawn collapse", () => {
    expect(verdict(notGrokked(0.3), WITHDRAWN)).toMatch(/earlier collapse withdrawn \(step 3000\)/);
  });
  it("a peak that is still forming is not called one", () => {
    expect(verdict(notGrokked(0.3), detected([0.1, 0.5, 0.9]))).toMatch(
      /uncertainty highest so far at step 2000/,
    );
  });
  const pooled = (change: Partial<LabelledRun> = {}) => {
    const members = [3000, 4000, 4000, null].map((generalisedStep, member) => ({
      ...{ member, memorisedStep: 1000, generalisedStep, grokStep: run().perMember[member].grokStep },
    }));
    const final = { seenTasks: 1, unseenTasks: 0.97, trainPrompts: 1 };
    return run({ memorisedStep: 1000, generalisedStep: 4000, final, perMember: members, ...change });
  };
  it("a run with a pool, word by word", () => {
    expect(verdict(pooled(), COLLAPSED)).toBe(
      "Memorised the pool at step 1000; solved fresh prompts of seen tasks at step 4000; grokked at step 5000, 5.0 times " +
        "the steps it took to memorise (the mean prediction at step 4000); uncertainty peaked at step 2000 (0.90 nats, " +
        "4 members); uncertainty collapsed at step 5000 (now 0.10 nats). The label-free collapse coincides with the grok " +
        "step; 3 of 4 members grokked, 3 generalised, 4 memorised.",
    );
  });
  it("a run with a pool that stops before one of its events", () => {
    const not = { generalisedStep: null, grokStep: null, perMember: [] };
    const none = { memorisedStep: 1000, grokStep: null };
    const memorised = pooled({
      ...not,
      meanPrediction: none,
      final: { seenTasks: 0.1, unseenTasks: 0.02, trainPrompts: 1 },
    });
    expect(verdict(memorised, DIVIDED)).toMatch(
      /^Memorised the pool at step 1000; fresh prompts of seen tasks not solved \(10 % .*; unseen tasks not solved \(2 %/,
    );
    expect(
      verdict(
        pooled({ ...not, memorisedStep: null, final: { seenTasks: 0, unseenTasks: 0, trainPrompts: 0.4 } }),
        LOW,
      ),
    ).toMatch(/^The pool not memorised \(40 %/);
    expect(verdict(pooled({ meanPrediction: none }), COLLAPSED)).toMatch(/\(the mean prediction did not\)/);
    expect(verdict(pooled({ memorisedStep: 5000 }), COLLAPSED)).toMatch(/, as it learnt the pool: no delay/);
  });
  it("no labels", () => {
    expect(verdict(null, COLLAPSED)).toMatch(
      /^Uncertainty peaked.*without labels: .*confidence high.*suggests grokking\.$/,
    );
    expect(verdict(null, DIVIDED)).toMatch(/no sign of grokking, .*still disagree/);
    const unmeasured = run({
      memorisedStep: null,
      grokStep: null,
      final: { seenTasks: null, unseenTasks: null },
    });
    expect(verdict(unmeasured, COLLAPSED)).toMatch(
      /without a measure.*Without labels: the members came to agree/,
    );
  });
  it("one member, and no evaluation", () => {
    expect(verdict(notGrokked(0.2), detected([0, 0, 0], 1))).toMatch(/1 member\).*at least two/);
    expect(verdict(run(), detectGrokking([]))).toBe("No evaluation yet: nothing can be said.");
  });
  it("is at most two sentences of printable text, whatever happened", () => {
    const step = fc.option(fc.integer({ min: 0, max: 9000 }));
    const share = fc.option(fc.double({ min: -0.1, max: 1.1, noNaN: true }));
    fc.assert(
      fc.property(
        fc.record({
          memorisedStep: step,
          grokStep: step,
          generalisedStep: step,
          final: fc.oneof(
            fc.record({ seenTasks: share, unseenTasks: share }),
            fc.record({ seenTasks: share, unseenTasks: share, trainPrompts: share }),
          ),
          meanPrediction: fc.record({ memorisedStep: step, grokStep: step }),
          perMember: fc.array(fc.record({ member: fc.nat(), memorisedStep: step, grokStep: step })),
        }),
        fc.constantFrom(COLLAPSED, DIVIDED, LOW, WITHDRAWN),
        (labelled, state) => {
          const text = verdict(labelled, state);
          expect(text.match(/\. [A-Z]/g) ?? []).toHaveLength(1);
          expect(text).toMatch(/^[A-Z][^\n]*\.$/);
          expect(text).not.toMatch(/NaN|undefined|null|Infinity/);
        },
      ),
    );
  });
  it("rejects an impossible spacing of evaluations", () => {
    expect(() => verdict(run(), COLLAPSED, { evaluationEvery: -1 })).toThrow(/evaluationEvery.*-1/);
    expect(() => verdict(run(), COLLAPSED, { evaluationEvery: Number.NaN })).toThrow(RangeError);
  });
});
