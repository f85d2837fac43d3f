/** On single prompts of one evaluation: how well uncertainty tells wrong answers from right ones, and calibration. */
import { expectedCalibrationError, negativeLogLikelihood } from "../../dist/index.js";
import { Ranking, riskCoverage } from "./ranking.mjs";

const BINS = 10;
/** Logarithms of the temperatures that are tried, and how often their interval is made shorter: to within 1 %. */
const TEMPERATURES = { least: Math.log(0.05), most: Math.log(20), rounds: 15 };
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** Of each prompt, the higher the less sure. */
export const UNCERTAINTIES = [
  "totalEntropy",
  "expectedEntropy",
  "mutualInformation",
  "disagreement",
  "confidence",
];

/**
 * @param unseen what an ensemble predicts for prompts of unseen tasks, with their answers as `targets`
 * @param seen the same on seen tasks, which give the temperature
 * @returns null where all answers are right, or all wrong: nothing is to be told apart
 */
export function singlePrompts(unseen, seen) {
  const { classes, mean: p, answers, targets } = unseen;
  const sureness = Array.from(answers, (answer, b) => p[b * classes + answer]);
  const wrong = Array.from(answers, (answer, b) => Number(answer !== targets[b]));
  const errors = wrong.reduce((sum, each) => sum + each, 0);
  if (errors === 0 || errors === wrong.length) return null;

  const uncertainty = { ...unseen, confidence: sureness.map((value) => 1 - value) };
  const temperature = temperatureOf(seen.mean, seen.targets, classes);
  const scaled = atTemperature(p, classes, temperature);
  const bins = Array.from({ length: BINS }, () => [0, 0, 0]);
  for (const [b, value] of sureness.entries()) {
    const bin = bins[Math.min(BINS - 1, Math.floor(value * BINS))];
    bin[0]++;
    bin[1] += value;
    bin[2] += 1 - wrong[b];
  }
  return {
    auroc: byUncertainty((values) =>
      new Ranking(wrong.map((label, b) => ({ score: values[b], label, group: 0 }))).auroc(),
    ),
    riskCoverage: byUncertainty((values) => riskCoverage(values, wrong)),
    /** The area of a ranking that knows. */
    leastArea: riskCoverage(wrong, wrong).area,
    ece: expectedCalibrationError(p, targets),
    nll: negativeLogLikelihood(p, targets),
    temperature,
    scaledEce: expectedCalibrationError(scaled, targets),
    scaledNll: negativeLogLikelihood(scaled, targets),
    /** Prompts, and the sums of their confidence and of right answers. */
    bins,
  };

  function byUncertainty(of) {
    return Object.fromEntries(UNCERTAINTIES.map((name) => [name, of(uncertainty[name])]));
  }
}

/** p^(1/T), normalised: probabilities whose logits are divided by T. */
function atTemperature(p, classes, temperature) {
  const result = p.map((value) => value ** (1 / temperature));
  for (let begin = 0; begin < p.length; begin += classes) {
    const row = result.subarray(begin, begin + classes);
    const sum = row.reduce((all, value) => all + value, 0);
    for (let c = 0; c < classes; c++) row[c] /= sum;
  }
  return result;
}

/** With the least negative log-likelihood, by golden section. */
function temperatureOf(p, targets, classes) {
  const logits = p.map((value) => Math.log(Math.max(value, Number.MIN_VALUE)));
  const at = (logT) => ({ logT, nll: lossAt(Math.exp(-logT), logits, targets, classes) });
  let { least, most } = TEMPERATURES;
  let [low, high] = [at(most - GOLDEN * (most - least)), at(least + GOLDEN * (most - least))];
  for (let round = 0; round < TEMPERATURES.rounds; round++) {
    if (low.nll < high.nll) {
      most = high.logT;
      [low, high] = [at(most - GOLDEN * (most - least)), low];
    } else {
      least = low.logT;
      [low, high] = [high, at(least + GOLDEN * (most - least))];
    }
  }
  return Math.exp((least + most) / 2);
}

/** Sum of the negative log-likelihoods of the targets, for logits times `factor`. */
function lossAt(factor, logits, targets, classes) {
  let loss = 0;
  for (let b = 0; b < targets.length; b++) {
    let [sum, largest] = [0, -Infinity];
    const begin = b * classes;
    for (let c = begin; c < begin + classes; c++) largest = Math.max(largest, logits[c]);
    for (let c = begin; c < begin + classes; c++) sum += Math.exp(factor * (logits[c] - largest));
    loss += Math.log(sum) - factor * (logits[begin + targets[b]] - largest);
  }
  return loss;
}
