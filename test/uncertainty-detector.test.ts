import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DetectorState, detectGrokking, GrokkingDetector } from "../src/uncertainty/detector.ts";
import type { UncertaintyObservation } from "../src/uncertainty/observation.ts";
import { inWords } from "../src/uncertainty/wording.ts";
import { rise, type Simulation, simulate } from "./fixtures/simulated-ensemble.ts";

/** What the state leaves open, as people read it. */
const words = ({ caveats }: DetectorState) => caveats.map(inWords);

const classes = 23;
const bound = (members: number) => Math.log(Math.min(members, classes));

/** Observations from MI values alone: confident members whose disagreement follows their MI. */
function observations(values: number[], members = 4, every = 100): UncertaintyObservation[] {
  return values.map((mutualInformation, i) => ({
    step: every * i,
    mutualInformation,
    expectedEntropy: 0.5,
    totalEntropy: 0.5 + mutualInformation,
    disagreement: members > 1 ? Math.min(1, mutualInformation / bound(members)) : 0,
    members,
    classes,
  }));
}

const CLEAN = [0.1, 0.2, 0.5, 0.8, 0.9, 0.85, 0.7, 0.4, 0.2, 0.1, 0.05, 0.05];

describe("a clean peak and collapse", () => {
  it("is attributed to evaluations of the trajectory", () => {
    const state = detectGrokking(observations(CLEAN));
    expect(state.phase).toBe("collapsed");
    expect(state.uncertaintyPeakStep).toBe(400);
    expect(state.peakMutualInformation).toBe(0.9);
    expect(state.collapseStep).toBe(700);
    expect(state.reversals).toEqual([]);
    expect(state.confidence).toBe("high");
    expect(state.caveats).toEqual([{ code: "agreementIsNoProof" }]);
    expect(words(state)).toEqual([expect.stringMatching(/agreement is not proof/)]);
  });

  it("passes through the phases, and is known only at the third low evaluation", () => {
    const detector = new GrokkingDetector();
    const phases = observations(CLEAN).map((o) => detector.push(o).phase);
    expect(phases).toEqual([
      ...Array(7).fill("diverging"),
      "peaked",
      "peaked",
      "collapsed",
      "collapsed",
      "collapsed",
    ]);
    const before = detectGrokking(observations(CLEAN.slice(0, 9)));
    expect(before.collapseStep).toBeNull();
    expect(before.caveats[0]).toEqual({ code: "agreementIsNew", evaluations: 2, needed: 3 });
    expect(words(before)[0]).toMatch(/only for 2 of the 3 evaluations/);
  });

  it("interpolates the fall from 90 % of the peak to the collapse line", () => {
    const { fall } = detectGrokking(observations(CLEAN));
    // 0.81 lies 4/15 of the way from 0.85 to 0.7; 0.45 lies 5/6 of the way from 0.7 to 0.4.
    expect(fall!.start).toBeCloseTo(500 + (100 * 4) / 15, 9);
    expect(fall!.end).toBeCloseTo(600 + (100 * 5) / 6, 9);
    expect(fall!.steps).toBeCloseTo(fall!.end - fall!.start, 12);
  });

  it("measures a sharper fall as fewer steps", () => {
    const sharp = detectGrokking(observations([0.2, 0.6, 0.9, 0.9, 0.1, 0.1, 0.1]));
    const slow = detectGrokking(observations([0.2, 0.6, 0.9, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]));
    expect(sharp.fall!.steps).toBeLessThan(slow.fall!.steps / 4);
  });

  it("obeys the options", () => {
    const at = (options: object) => detectGrokking(observations(CLEAN), options).collapseStep;
    expect(at({ collapseFraction: 0.8 })).toBe(600);
    expect(at({ collapseFraction: 0.2 })).toBe(900);
    expect(at({ sustain: 5 })).toBe(700);
    expect(at({ sustain: 6 })).toBeNull();
    expect(at({ peakShare: 0.7 })).toBeNull();
    expect(at({ uniformShare: 0.1 })).toBeNull();
  });
});

describe("withdrawal", () => {
  const collapsed = [0.2, 0.5, 0.8, 0.8, 0.3, 0.2, 0.2];

  it("takes three evaluations above the line, and is recorded", () => {
    const state = detectGrokking(observations([...collapsed, 0.5, 0.55, 0.6]));
    expect(state.phase).toBe("peaked");
    expect(state.collapseStep).toBeNull();
    expect(state.uncertaintyPeakStep).toBe(200);
    expect(state.reversals).toEqual([{ collapseStep: 400, withdrawnStep: 700 }]);
    expect(state.confidence).toBe("none");
  });
  it("does not follow from one unstable evaluation", () => {
    const state = detectGrokking(observations([...collapsed, 0.7, 0.2, 0.2, 0.1]));
    expect(state.collapseStep).toBe(400);
    expect(state.reversals).toEqual([]);
  });
  it("is announced while evaluations speak against the collapse", () => {
    const state = detectGrokking(observations([...collapsed, 0.6, 0.6]));
    expect(state.collapseStep).toBe(400);
    expect(words(state)).toContainEqual(expect.stringMatching(/newest 2 of the 3/));
  });
  it("follows from a higher peak, which replaces the old one", () => {
    const state = detectGrokking(observations([...collapsed, 0.6, 0.95]));
    expect(state.phase).toBe("diverging");
    expect(state.uncertaintyPeakStep).toBe(800);
    expect(state.reversals).toEqual([{ collapseStep: 400, withdrawnStep: 800 }]);
  });
  it("is a doubt about a later collapse", () => {
    const state = detectGrokking(observations([...collapsed, 0.6, 0.6, 0.6, 0.1, 0.1, 0.1]));
    expect(state.collapseStep).toBe(1000);
    expect(state.confidence).toBe("moderate");
    expect(words(state)).toContainEqual(expect.stringMatching(/did not last \(step 400\)/));
  });
});

describe("what is not a collapse", () => {
  it("a plateau after a spike of one evaluation", () => {
    const state = detectGrokking(observations([0.2, 0.4, 0.4, 1.2, 0.4, 0.4, 0.4, 0.4, 0.4]));
    expect(state.collapseStep).toBeNull();
    expect(state.peakMutualInformation).toBe(0.4);
  });
  it("a low evaluation or two", () => {
    const state = detectGrokking(observations([0.5, 0.8, 0.8, 0.2, 0.2, 0.7, 0.2, 0.2, 0.7]));
    expect(state.collapseStep).toBeNull();
    expect(state.phase).toBe("peaked");
    expect(words(state)[0]).toMatch(/still disagree/);
  });
  it("a fall of values that never were a peak", () => {
    const values = [0.1, 0.2, 0.24 * bound(4), 0.24 * bound(4), 0.1, 0.05, 0.02, 0.02, 0.02];
    const state = detectGrokking(observations(values));
    expect(state.uncertaintyPeakStep).toBeNull();
    expect(state.collapseStep).toBeNull();
    expect(words(state)[0]).toMatch(/no peak seen.*0\.35 nats/);
  });
  it("a return to near-uniform predictions, which forgets the peak", () => {
    const forgetting = observations([0.5, 0.9, 0.9, 0.1, 0.1, 0.1]).map((o, i) =>
      i < 3 ? o : { ...o, expectedEntropy: 2.95, totalEntropy: 3.05 },
    );
    const state = detectGrokking(forgetting);
    expect(state.phase).toBe("untrained");
    expect(state.uncertaintyPeakStep).toBeNull();
    expect(words(state)).toContainEqual(expect.stringMatching(/peak at step 100.*forgetting/));
  });
  it("members less sure of answers that still differ", () => {
    const less = observations([0.5, 0.9, 0.9, 0.3, 0.3, 0.3, 0.3]).map((o, i) =>
      i < 3 ? o : { ...o, expectedEntropy: 2, totalEntropy: 2.3, disagreement: 0.6 },
    );
    const state = detectGrokking(less);
    expect(state.collapseStep).toBeNull();
    expect(words(state)[0]).toMatch(/less sure/);
    // The same entropies with votes that agree: members that learnt how uncertain the answer is.
    const calibrated = detectGrokking(less.map((o, i) => (i < 3 ? o : { ...o, disagreement: 0.1 })));
    expect(calibrated.collapseStep).toBe(300);
    expect(words(calibrated)).toContainEqual(expect.stringMatching(/agree on being unsure/));
  });
  it("a single member", () => {
    const state = detectGrokking(observations(Array(10).fill(0), 1));
    expect(state.collapseStep).toBeNull();
    expect(state.uncertaintyPeakStep).toBeNull();
    expect(words(state)).toEqual([expect.stringMatching(/at least two/)]);
  });
  it("the loss of a member: MI of another number of members is another scale", () => {
    const four = observations([0.5, 1.2, 1.2, 1.1]);
    const two = observations([0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5], 2).slice(4);
    const state = detectGrokking([...four, ...two]);
    expect(state.collapseStep).toBeNull();
    expect(state.uncertaintyPeakStep).toBe(400);
    expect(words(state)).toContainEqual(expect.stringMatching(/from 4 to 2 members at step 400/));
    // Nor can an evaluation of four members hold up a spike of two.
    const spike = observations([0, 0, 0, 0, 0.6, 0.1, 0.1, 0.1], 2).slice(4);
    expect(detectGrokking([...four, ...spike]).uncertaintyPeakStep).toBeNull();
    // A collapse before the loss is no longer comparable with what follows either.
    const after = detectGrokking([
      ...observations(CLEAN),
      ...observations(Array(13).fill(0.02), 2).slice(12),
    ]);
    expect(after.reversals).toEqual([{ collapseStep: 700, withdrawnStep: 1200 }]);
  });
});

/** Multiplicative noise of at most this share on every value, from fast-check. */
const noisy = (shape: number[], share: number) =>
  fc
    .array(fc.double({ min: 1 - share, max: 1 + share, noNaN: true }), {
      minLength: shape.length,
      maxLength: shape.length,
    })
    .map((factors) => shape.map((value, i) => Math.min(bound(4), value * factors[i])));

describe("properties", () => {
  const anything = fc
    .array(fc.double({ min: 0, max: bound(4), noNaN: true }), { maxLength: 40 })
    .map((values) => observations(values));

  it("online equals batch at every evaluation", () => {
    fc.assert(
      fc.property(anything, (trajectory) => {
        const detector = new GrokkingDetector();
        trajectory.forEach((o, i) => {
          expect(detector.push(o)).toEqual(detectGrokking(trajectory.slice(0, i + 1)));
        });
        expect(detector.state).toEqual(detectGrokking(trajectory));
      }),
    );
  });

  it("whatever is reported satisfies the definitions", () => {
    fc.assert(
      fc.property(anything, (trajectory) => {
        const state = detectGrokking(trajectory);
        const index = (step: number | null) => trajectory.findIndex((o) => o.step === step);
        if (state.uncertaintyPeakStep !== null) {
          const peak = trajectory[index(state.uncertaintyPeakStep)];
          expect(peak.mutualInformation).toBe(state.peakMutualInformation);
          expect(peak.mutualInformation).toBeGreaterThanOrEqual(bound(4) / 4);
        }
        expect(state.phase === "collapsed").toBe(state.collapseStep !== null);
        expect(state.confidence === "none").toBe(state.collapseStep === null);
        expect(state.fall === null).toBe(state.collapseStep === null);
        if (state.collapseStep !== null) {
          const at = index(state.collapseStep);
          expect(at).toBeGreaterThan(index(state.uncertaintyPeakStep));
          for (const o of trajectory.slice(at, at + 3)) {
            expect(o.mutualInformation).toBeLessThanOrEqual(state.peakMutualInformation! / 2);
          }
          expect(trajectory.length - at).toBeGreaterThanOrEqual(3);
          expect(state.fall!.start).toBeGreaterThanOrEqual(state.uncertaintyPeakStep!);
          expect(state.fall!.end).toBeLessThanOrEqual(state.collapseStep);
          expect(state.fall!.steps).toBeGreaterThanOrEqual(0);
        }
        for (const { collapseStep, withdrawnStep } of state.reversals) {
          expect(withdrawnStep).toBeGreaterThan(collapseStep);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("does not depend on the scale of the steps", () => {
    fc.assert(
      fc.property(anything, fc.integer({ min: 2, max: 50 }), (trajectory, factor) => {
        const a = detectGrokking(trajectory);
        const b = detectGrokking(trajectory.map((o) => ({ ...o, step: o.step * factor })));
        const scaled = (step: number | null) => (step === null ? null : step * factor);
        expect(b.uncertaintyPeakStep).toBe(scaled(a.uncertaintyPeakStep));
        expect(b.collapseStep).toBe(scaled(a.collapseStep));
        expect(b.phase).toBe(a.phase);
      }),
    );
  });

  const length = 40;
  const ramp = Array.from({ length }, (_, i) => 0.02 + (1.2 * i) / length);

  it("rising MI never collapses", () => {
    fc.assert(
      fc.property(noisy(ramp, 0.25), (values) => {
        const state = detectGrokking(observations(values));
        expect(state.collapseStep).toBeNull();
        expect(state.reversals).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
  it("flat MI near zero has neither peak nor collapse", () => {
    fc.assert(
      fc.property(noisy(Array(length).fill(0.1), 1), (values) => {
        const state = detectGrokking(observations(values));
        expect(state.uncertaintyPeakStep).toBeNull();
        expect(state.collapseStep).toBeNull();
      }),
    );
  });
  it("a plateau never collapses", () => {
    const plateau = [...ramp.slice(0, 20), ...Array(60).fill(ramp[19])];
    fc.assert(
      fc.property(noisy(plateau, 0.25), (values) => {
        expect(detectGrokking(observations(values)).collapseStep).toBeNull();
      }),
      { numRuns: 300 },
    );
  });
  it("a clean peak and collapse is always found, near where it is", () => {
    // Gaussian in the step: full width at half maximum 2.355 * 5 evaluations, so half the peak is at 20 + 5.9.
    const bump = Array.from({ length }, (_, i) => 0.02 + 1.1 * Math.exp(-(((i - 20) / 5) ** 2) / 2));
    fc.assert(
      fc.property(noisy(bump, 0.08), (values) => {
        const state = detectGrokking(observations(values));
        expect(state.phase).toBe("collapsed");
        expect(Math.abs(state.uncertaintyPeakStep! - 2000)).toBeLessThanOrEqual(300);
        expect(Math.abs(state.collapseStep! - 2600)).toBeLessThanOrEqual(200);
        expect(state.reversals).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});

describe("simulated ensembles", () => {
  const steps = Array.from({ length: 41 }, (_, i) => 250 * i);
  const memory = (step: number) => 7 * rise(step, 2000, 350);
  const insight = (step: number, member: number) => 14 * rise(step, 6000 + 150 * member, 350);
  const none = () => 0;

  /** Run the scenario for 2, 4 and 8 members and two seeds each. */
  const each = (
    scenario: Omit<Simulation, "members" | "seed" | "steps">,
    check: (
      state: ReturnType<typeof detectGrokking>,
      trajectory: ReturnType<typeof simulate>,
      members: number,
    ) => void,
  ) => {
    for (const members of [2, 4, 8]) {
      for (const seed of [1, 2]) {
        const trajectory = simulate({ members, seed, steps, ...scenario });
        check(detectGrokking(trajectory), trajectory, members);
      }
    }
  };
  const grokked = (trajectory: { step: number; accuracy: number }[]) =>
    trajectory.find((o) => o.accuracy >= 0.9)!.step;

  it("grokking is seen within 1000 steps of the labelled step", () => {
    each({ memory, insight }, (state, trajectory, members) => {
      expect(state.phase).toBe("collapsed");
      expect(Math.abs(state.collapseStep! - grokked(trajectory))).toBeLessThanOrEqual(1000);
      expect(state.uncertaintyPeakStep).toBeGreaterThan(2000);
      expect(state.confidence).toBe(members > 2 ? "high" : "moderate");
    });
  });
  it("networks that never learn stay untrained", () => {
    each({ memory: none, insight: none }, (state) => {
      expect(state.phase).toBe("untrained");
      expect(state.uncertaintyPeakStep).toBeNull();
      expect(words(state)[0]).toMatch(/near uniform/);
    });
  });
  it("a large initialisation that training flattens is neither a peak nor a collapse", () => {
    const flatten = { initial: 3, fade: (step: number) => 1 - rise(step, 800, 150) };
    each({ ...flatten, memory: none, insight: none }, (state, trajectory, members) => {
      expect(trajectory[0].mutualInformation).toBeGreaterThan(0.6 * bound(members));
      expect(state.phase).toBe("untrained");
      expect(state.uncertaintyPeakStep).toBeNull();
    });
    each({ ...flatten, memory: (step) => 7 * rise(step, 3500, 300), insight }, (state, trajectory) => {
      expect(state.uncertaintyPeakStep).toBeGreaterThan(3000);
      expect(Math.abs(state.collapseStep! - grokked(trajectory))).toBeLessThanOrEqual(1000);
    });
  });
  it("members that only memorise stay divided", () => {
    each({ memory, insight: none }, (state) => {
      expect(state.collapseStep).toBeNull();
      expect(state.reversals).toEqual([]);
      expect(words(state)[0]).toMatch(/still disagree/);
    });
  });
  it("one of two that never groks prevents the collapse; one of more is pointed out", () => {
    const allButOne = (step: number, member: number) => (member === 0 ? 0 : insight(step, member));
    each({ memory, insight: allButOne }, (state, _, members) => {
      if (members === 2) {
        expect(state.collapseStep).toBeNull();
      } else {
        expect(state.confidence).not.toBe("high");
        expect(words(state)).toContainEqual(
          expect.stringMatching(/dissenting member.*not every member need have grokked/),
        );
      }
    });
  });
  it("transient generalisation is withdrawn", () => {
    const transient = (step: number) => 14 * (rise(step, 5000, 300) - rise(step, 7500, 300));
    each({ memory, insight: transient }, (state) => {
      expect(state.collapseStep).toBeNull();
      expect(state.reversals).toHaveLength(1);
      expect(Math.abs(state.reversals[0].withdrawnStep - 7500)).toBeLessThanOrEqual(500);
    });
  });
  it("members that agree on wrong answers from the start are no grokking", () => {
    each({ memory, insight: none, sharedErrors: 0.75 }, (state, trajectory) => {
      expect(trajectory.at(-1)!.accuracy).toBeLessThan(0.2);
      expect(state.collapseStep).toBeNull();
    });
  });
  it("members that lose confidence without agreeing are no grokking", () => {
    const fading = (step: number) => 7 * (rise(step, 2000, 350) - 0.6 * rise(step, 6000, 400));
    each({ memory: fading, insight: none }, (state, trajectory) => {
      expect(trajectory.at(-1)!.mutualInformation).toBeLessThan(state.peakMutualInformation! / 2);
      expect(state.collapseStep).toBeNull();
      expect(words(state)[0]).toMatch(/less sure/);
    });
  });
  it("generalising without memorising first shows no peak", () => {
    each({ memory: none, insight: (step) => 9 * rise(step, 3000, 400) }, (state) => {
      expect(state.phase).toBe("diverging");
      expect(words(state)[0]).toMatch(/no peak seen/);
    });
  });
});

describe("bad input", () => {
  const good = observations([0.5])[0];
  const push = (change: Partial<UncertaintyObservation>) => () =>
    new GrokkingDetector().push({ ...good, ...change });

  it("names the measure and the limit", () => {
    expect(push({})).not.toThrow();
    expect(push({ mutualInformation: Number.NaN })).toThrow(/mutualInformation.*NaN/);
    expect(push({ mutualInformation: 1.5, totalEntropy: 2 })).toThrow(/mutualInformation.*4 members/);
    expect(push({ totalEntropy: 4, expectedEntropy: 3.5 })).toThrow(/totalEntropy.*nats/);
    expect(push({ expectedEntropy: -0.1, totalEntropy: 0.4 })).toThrow(/expectedEntropy/);
    expect(push({ disagreement: 1.5 })).toThrow(/disagreement/);
    expect(push({ totalEntropy: 1.4 })).toThrow(
      /totalEntropy: got 1.4, must be expectedEntropy \+ mutualInformation/,
    );
    expect(push({ members: 0 })).toThrow(/members/);
    expect(push({ classes: 2.5 })).toThrow(/classes/);
    expect(push({ step: Number.POSITIVE_INFINITY })).toThrow(/step/);
  });
  it("leaves the detector as it was", () => {
    const detector = new GrokkingDetector();
    const before = detector.push(good);
    expect(() => detector.push({ ...good })).toThrow(/step: got .*, must be finite and above/);
    expect(() => detector.push({ ...good, step: 100, classes: 29 })).toThrow(/classes: got 29, must be 23/);
    expect(detector.state).toEqual(before);
  });
  it("rejects options outside their range", () => {
    expect(() => new GrokkingDetector({ peakShare: 0 })).toThrow(/peakShare/);
    expect(() => new GrokkingDetector({ collapseFraction: 1 })).toThrow(/collapseFraction/);
    expect(() => new GrokkingDetector({ uniformShare: Number.NaN })).toThrow(/uniformShare/);
    expect(() => new GrokkingDetector({ sustain: 0 })).toThrow(/sustain/);
  });
  it("an empty trajectory has a state and says that it is empty", () => {
    const state = detectGrokking([]);
    expect(state).toMatchObject({ step: null, phase: "untrained", collapseStep: null, confidence: "none" });
    expect(words(state)).toEqual(["no evaluation yet"]);
  });
});
