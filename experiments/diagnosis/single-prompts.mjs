/** On single prompts of one evaluation: how well uncertainty tells wrong answers from right ones, and calibration. */
import { decompose, expectedCalibrationError, negativeLogLikelihood } from "../../dist/index.js";
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
 * @param predictions on unseen tasks, and those on seen ones, whose labels give the temperature
 * @returns null where all answers are right, or all wrong: nothing is to be told apart
 */
export function singlePrompts({ unseen, seen, labels }) {
  const parts = decomposed(unseen);
  const { classes, mean: p } = parts;
  const targets = labels.unseenTasks;
  const answers = Array.from(targets, (_, b) => argmax(p.subarray(b * classes, (b + 1) * classes)));
  const sureness = answers.map((answer, b) => p[b * classes + answer]);
  const wrong = answers.map((answer, b) => Number(answer !== targets[b]));
  const errors = wrong.reduce((sum, each) => sum + each, 0);
  if (errors === 0 || errors === wrong.length) return null;

  const uncertainty = { ...parts, confidence: sureness.map((value) => 1 - value) };
  const temperature = temperatureOf(decomposed(seen).mean, labels.seenTasks, classes);
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

function decomposed({ shape: [members, prompts, classes], data }) {
  return { ...decompose(data, { members, prompts, classes }), classes };
}

const argmax = (row) => row.reduce((best, value, c) => (value > row[best] ? c : best), 0);

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
  const at = (logT) => ({
    logT,
    nll: negativeLogLikelihood(atTemperature(p, classes, Math.exp(logT)), targets),
  });
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
