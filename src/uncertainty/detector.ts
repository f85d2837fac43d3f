/**
 * Grokking from predictions alone. The members of an ensemble start near uniform, disagree while each memorises in
 * its own way, and agree again once they share a rule: their mutual information (MI) on unseen tasks rises, peaks and
 * collapses. The detector follows that sequence online and never sees a label.
 *
 * Definitions, and why they are what they are:
 * - An ensemble is *near uniform* when the expected entropy is at least `uniformShare` of log C. Total entropy would
 *   not do: members that are certain of different classes have a high total entropy too. Near-uniform members agree
 *   because they know nothing, so such evaluations neither make a peak nor count towards a collapse; `sustain` of
 *   them in a row forget the peak, since what follows is a new start. This also covers networks whose random initial
 *   outputs are confident and different, and which training first pulls back to uniform.
 * - A *peak* is the largest MI so far, if it reaches `peakShare` of its bound min(log M, log C). Random initial
 *   outputs and slight disagreement stay below the default quarter (untrained pairs of members show up to 0.22 of
 *   the bound at a large initialisation, memorising ones 0.5 to 0.75). One of the two neighbouring evaluations must
 *   lie above the collapse line of the peak as well: a spike of a single evaluation would otherwise raise the line
 *   above an ordinary plateau and make the plateau look collapsed.
 * - The *collapse* is the first evaluation after the peak from which MI stays at or below `collapseFraction` of the
 *   peak for `sustain` evaluations in a row. MI also falls when members merely become less sure of their different
 *   answers; then total entropy rises. An evaluation whose total entropy is above that at the peak counts only if
 *   the disagreement of the members' votes has fallen to the same fraction as well. The collapse is *withdrawn* when
 *   as many evaluations in a row speak against it, when a higher peak forms, or when the members return to near
 *   uniform. Asking both changes to last
 *   the same time keeps a single unstable evaluation late in a run from moving the collapse by thousands of steps.
 *
 * Values are not smoothed: requiring runs of evaluations filters noise and leaves every reported step one at which
 * the ensemble was evaluated.
 *
 * What it cannot know: members can agree on a wrong answer, so a collapse is evidence and not proof. `caveats` and
 * `confidence` say how far the evidence goes.
 */
import { log } from "../elementary.ts";
import { requireCount, requireKeys, requireList, requireOpenFraction } from "../validate.ts";
import { type Caveat, type Doubt, doubtsAbout, type Incident, type Limit } from "./caveats.ts";
import { informationBound } from "./decompose.ts";
import { SUSTAINED_EVALUATIONS } from "./events.ts";
import { crossing, FALL_START, type Fall } from "./fall.ts";
import { checkObservation, type UncertaintyObservation } from "./observation.ts";
import { mean } from "./rows.ts";

/** Thresholds of the detector. */
export interface DetectorOptions {
  /** Smallest peak, as a share of min(log M, log C). Default 0.25. */
  peakShare?: number;
  /** The collapse line, as a fraction of the peak. Default 0.5. */
  collapseFraction?: number;
  /** Near uniform from this share of log C on, in expected entropy. Default 0.9. */
  uniformShare?: number;
  /** Evaluations in a row that confirm a collapse or its withdrawal. Default 3. */
  sustain?: number;
}

/**
 * - `untrained`: the members are near uniform, and no peak stands;
 * - `diverging`: no peak yet, or MI is at its highest;
 * - `peaked`: the last `sustain` evaluations did not exceed the peak, and no collapse stands;
 * - `collapsed`: a collapse stands.
 */
export type Phase = "untrained" | "diverging" | "peaked" | "collapsed";

/** How many of the detector's doubts about a standing collapse apply: none, one, more. `none` without a collapse. */
export type Confidence = "none" | "low" | "moderate" | "high";

/** A collapse that did not last. */
export interface Reversal {
  collapseStep: number;
  /** First evaluation that spoke against it. */
  withdrawnStep: number;
}

/** What the uncertainty of a trajectory shows without labels, up to its newest evaluation. */
export interface DetectorState {
  /** Step and MI (nats) of the newest evaluation; null before the first. */
  step: number | null;
  mutualInformation: number | null;
  members: number | null;
  phase: Phase;
  /** The standing peak, provisional until `peaked`; null while no MI has qualified. */
  uncertaintyPeakStep: number | null;
  /** MI at the peak, nats. */
  peakMutualInformation: number | null;
  collapseStep: number | null;
  fall: Fall | null;
  reversals: readonly Reversal[];
  confidence: Confidence;
  /** What the state does not show, what speaks against it, and what happened on the way; the first says most. */
  caveats: readonly Caveat[];
}

/**
 * Follows the uncertainty of an ensemble through training, one evaluation at a time. Its state depends on the
 * observations only, so pushing a recorded trajectory again reproduces it.
 */
export class GrokkingDetector {
  private readonly peakShare: number;
  private readonly collapseFraction: number;
  private readonly uniformShare: number;
  private readonly sustain: number;

  private readonly history: UncertaintyObservation[] = [];
  private readonly reversals: Reversal[] = [];
  private readonly incidents: Incident[] = [];
  /** Indices into the history; an episode is a stretch over which MI values can be compared. */
  private episodeStart = 0;
  private peak: number | null = null;
  private collapse: number | null = null;
  /** Lengths of the current runs: near uniform; agreeing after a peak; not agreeing after a collapse. */
  private uniformRun = 0;
  private agreeingRun = 0;
  private opposingRun = 0;

  /** @throws RangeError for an unknown option, a share or fraction outside (0, 1), or a `sustain` that is not a positive integer */
  constructor(options: DetectorOptions = {}) {
    requireKeys("options", options, ["peakShare", "collapseFraction", "uniformShare", "sustain"]);
    const {
      peakShare = 0.25,
      collapseFraction = 0.5,
      uniformShare = 0.9,
      sustain = SUSTAINED_EVALUATIONS,
    } = options;
    this.peakShare = requireOpenFraction("peakShare", peakShare);
    this.collapseFraction = requireOpenFraction("collapseFraction", collapseFraction);
    this.uniformShare = requireOpenFraction("uniformShare", uniformShare);
    requireCount("sustain", sustain);
    this.sustain = sustain;
  }

  /**
   * Take in the next evaluation.
   *
   * @returns the state after it
   * @throws RangeError if a value is impossible (wrong unit, NaN, steps out of order) or does not fit the others; the
   *   observation is then not taken in
   */
  push(observation: UncertaintyObservation): DetectorState {
    const previous = this.history.at(-1);
    checkObservation(observation, previous);
    const now = this.history.push({ ...observation }) - 1;

    if (previous && previous.members !== observation.members) {
      this.startEpisode(now, now);
      const { members: to, step } = observation;
      this.incidents.push({ code: "membersChanged", from: previous.members, to, step });
    }
    this.uniformRun = this.isNearUniform(now) ? this.uniformRun + 1 : 0;
    if (this.uniformRun >= this.sustain && this.peak !== null) {
      this.incidents.push({ code: "backToUniform", peakStep: this.stepOf(this.peak) });
      this.startEpisode(now - this.sustain + 1, now - this.sustain + 1);
    }

    if (!this.findHigherPeak(now)) this.followCollapse(now);
    return this.state;
  }

  get state(): DetectorState {
    const last = this.history.at(-1);
    const doubts = this.collapse === null ? [] : this.doubts();
    return {
      step: last?.step ?? null,
      mutualInformation: last?.mutualInformation ?? null,
      members: last?.members ?? null,
      phase: this.phase(),
      uncertaintyPeakStep: this.peak === null ? null : this.stepOf(this.peak),
      peakMutualInformation: this.peak === null ? null : this.information(this.peak),
      collapseStep: this.collapse === null ? null : this.stepOf(this.collapse),
      fall: this.fall(),
      reversals: [...this.reversals],
      confidence:
        this.collapse === null
          ? "none"
          : doubts.length === 0
            ? "high"
            : doubts.length === 1
              ? "moderate"
              : "low",
      caveats: [...this.limits(), ...doubts, ...this.incidents],
    };
  }

  private stepOf(index: number): number {
    return this.history[index].step;
  }

  private information(index: number): number {
    return this.history[index].mutualInformation;
  }

  private isNearUniform(index: number): boolean {
    const { expectedEntropy, classes } = this.history[index];
    return expectedEntropy >= this.uniformShare * log(classes);
  }

  /** The collapse line (nats) of a peak. */
  private line(peak: number): number {
    return this.collapseFraction * this.information(peak);
  }

  /** Smallest MI (nats) that counts as a peak. One member has no mutual information, hence no peak. */
  private smallestPeak({ members, classes }: UncertaintyObservation): number {
    return members > 1 ? this.peakShare * informationBound(members, classes) : Number.POSITIVE_INFINITY;
  }

  private startEpisode(start: number, withdrawn: number): void {
    this.withdraw(withdrawn);
    this.episodeStart = start;
    this.peak = null;
  }

  private withdraw(index: number): void {
    if (this.collapse !== null) {
      this.reversals.push({ collapseStep: this.stepOf(this.collapse), withdrawnStep: this.stepOf(index) });
    }
    this.collapse = null;
    this.agreeingRun = 0;
    this.opposingRun = 0;
  }

  private qualifiesAsPeak(candidate: number, now: number): boolean {
    if (candidate < this.episodeStart || this.isNearUniform(candidate)) return false;
    const value = this.information(candidate);
    if (value < this.smallestPeak(this.history[candidate])) return false;
    if (this.peak !== null && value <= this.information(this.peak)) return false;
    return [candidate - 1, candidate + 1].some(
      (k) => k >= this.episodeStart && k <= now && this.information(k) > this.line(candidate),
    );
  }

  /** A candidate may have had to wait one evaluation for its neighbour, so the last two are looked at. */
  private findHigherPeak(now: number): boolean {
    const before = this.peak;
    for (const candidate of [now - 1, now]) {
      if (this.qualifiesAsPeak(candidate, now)) this.peak = candidate;
    }
    if (this.peak === before) return false;
    this.withdraw(this.peak!);
    return true;
  }

  /** Whether an evaluation after the peak shows the members in agreement. */
  private agrees(index: number, peakIndex: number): boolean {
    const o = this.history[index];
    const peak = this.history[peakIndex];
    if (o.mutualInformation > this.line(peakIndex) || this.isNearUniform(index)) return false;
    return o.totalEntropy <= peak.totalEntropy || o.disagreement <= this.collapseFraction * peak.disagreement;
  }

  /** Count the evaluations for and against a collapse, and confirm or withdraw it. */
  private followCollapse(now: number): void {
    if (this.peak === null) return;
    const agrees = this.agrees(now, this.peak);
    if (this.collapse === null) {
      this.agreeingRun = agrees ? this.agreeingRun + 1 : 0;
      if (this.agreeingRun === this.sustain) this.collapse = now - this.sustain + 1;
    } else {
      this.opposingRun = agrees ? 0 : this.opposingRun + 1;
      if (this.opposingRun === this.sustain) this.withdraw(now - this.sustain + 1);
    }
  }

  private phase(): Phase {
    const now = this.history.length - 1;
    if (this.collapse !== null) return "collapsed";
    if (this.peak !== null) return now - this.peak >= this.sustain ? "peaked" : "diverging";
    return now < 0 || this.isNearUniform(now) ? "untrained" : "diverging";
  }

  private fall(): Fall | null {
    if (this.peak === null || this.collapse === null) return null;
    const line = this.line(this.peak);
    const top = FALL_START * this.information(this.peak);
    // MI may have been below the line before the members agreed: the crossing lies before such evaluations.
    let below = this.collapse;
    while (this.information(below - 1) <= line) below--;
    const end = this.crossing(below - 1, line);
    let above = below - 1;
    while (this.information(above) < top) above--;
    const start = this.crossing(above, Math.max(top, line));
    return { start, end, steps: end - start };
  }

  /** Where MI passes `level` on its way from evaluation `index` (above) to the next one (not above). */
  private crossing(index: number, level: number): number {
    const [a, b] = this.history
      .slice(index, index + 2)
      .map(({ step, mutualInformation: value }) => ({ step, value }));
    return crossing(a, b, level);
  }

  /** Mean of a measure over the newest evaluations. */
  private recent(measure: "mutualInformation" | "totalEntropy" | "disagreement"): number {
    return mean(this.history.slice(-this.sustain).map((o) => o[measure]));
  }

  private doubts(): Doubt[] {
    return doubtsAbout({
      peak: this.history[this.peak!],
      line: this.line(this.peak!),
      recent: {
        mutualInformation: this.recent("mutualInformation"),
        totalEntropy: this.recent("totalEntropy"),
        disagreement: this.recent("disagreement"),
      },
      earlier: this.reversals.map(({ collapseStep }) => collapseStep),
    });
  }

  private limits(): Limit[] {
    const now = this.history.at(-1);
    if (!now) return [{ code: "noEvaluation" }];
    if (now.members === 1) return [{ code: "oneMember" }];
    const needed = this.sustain;
    if (this.collapse !== null) {
      const evaluations = this.opposingRun;
      return [
        { code: "agreementIsNoProof" },
        ...(evaluations > 0 ? [{ code: "collapseOpposed", evaluations, needed } as const] : []),
      ];
    }
    if (this.peak !== null) {
      const { mutualInformation } = now;
      if (this.agreeingRun > 0) return [{ code: "agreementIsNew", evaluations: this.agreeingRun, needed }];
      const code = mutualInformation > this.line(this.peak) ? "membersDisagree" : "membersUnsure";
      return [{ code, mutualInformation, shareOfPeak: mutualInformation / this.information(this.peak) }];
    }
    const { expectedEntropy, classes } = now;
    if (this.isNearUniform(this.history.length - 1))
      return [{ code: "nearUniform", expectedEntropy, largest: log(classes) }];
    return [{ code: "noPeak", smallest: this.smallestPeak(now) }];
  }
}

/**
 * The detector's state after a whole trajectory.
 *
 * @param trajectory evaluations in order of strictly increasing step
 * @throws RangeError as the constructor and `push`
 */
export function detectGrokking(
  trajectory: readonly UncertaintyObservation[],
  options: DetectorOptions = {},
): DetectorState {
  requireList("trajectory", trajectory);
  const detector = new GrokkingDetector(options);
  for (const observation of trajectory) detector.push(observation);
  return detector.state;
}
