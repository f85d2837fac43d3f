/** Ensembles of some of a run's members, judged on some of its prompts; whether they have generalised is told by all. */
import { accuracyOf, estimatesOf } from "../../dist/diagnosis/estimators.js";
import { GrokkingDetector } from "../../dist/index.js";
import { unseenFromCheckpoints } from "./checkpoints.mjs";
import { solvedFlags } from "./collect.mjs";
import { sustained } from "./events.mjs";
import { alarmOf, judged, KNOWN } from "./judge.mjs";
import { predictionOf } from "./measure.mjs";
import { labelsOf, part } from "./predictions.mjs";
import { mean } from "./ranking.mjs";
import { versionOf } from "./remembered.mjs";

const STATISTICS = ["totalEntropy", "expectedEntropy", "mutualInformation", "disagreement", "variance"];

export const MEMBERS = [16, 8, 4, 2, 1];
export const PROMPTS = [1024, 256, 64, 16];
/** With fewer prompts, ensembles are judged on so many lots of them. */
const LOTS = 4;

export const VERSION = versionOf([
  ...["ensembles", "asked-back", "checkpoints", "judge", "predictions", "measure"].map(
    (name) => `${name}.mjs`,
  ),
  ...["consensus", "cycle", "estimators", "rule"].map((name) => `../../dist/diagnosis/${name}.js`),
]);

/** Like the runs of `collect`, each with all that can be known and with less; no two of a size share a member. */
export async function ensemblesOf(directory) {
  const kept = await unseenFromCheckpoints(directory, PROMPTS[0]);
  const all = [...Array(kept.config.ensemble.members).keys()];
  return MEMBERS.flatMap((size) => slices(all.length, size).map((slice) => all.slice(...slice))).flatMap(
    (members) => judgedOn(kept, members),
  );
}

function judgedOn({ config, evaluations, labels, scale, cycle: asked }, members) {
  const seenLabels = labelsOf(config).seenTasks;
  const truth = evaluations.map(({ unseen }) => accuracyOf(predictionOf(part(unseen, members), labels)));
  const seen = evaluations.map((each) => predictionOf(part(each.seen, members), seenLabels));
  return PROMPTS.flatMap((prompts) =>
    slices(labels.length, prompts)
      .slice(0, LOTS)
      .flatMap((lot) => {
        const of = (predictions, targets) =>
          predictionOf(part(predictions, members, lot), targets.subarray(...lot));
        const measured = evaluations.map(({ step, unseen, cycle }, i) => {
          const back = { ...of(cycle, asked.labels), scale: asked.scale };
          return {
            ...{ step, members: members.length, accuracy: truth[i] },
            ...measuredOf(of(unseen, labels), { seen: seen[i], cycle: back }, scale),
          };
        });
        return Object.keys(KNOWN).map((known) =>
          labelled(measured, { prompts, classes: config.task.modulus, scale, known }),
        );
      }),
  );
}

/** [0, size], [size, 2 size], ... as far as there are so many. */
const slices = (all, size) =>
  Array.from({ length: Math.floor(all / size) }, (_, i) => [i * size, (i + 1) * size]);

function measuredOf(unseen, evidence, scale) {
  return {
    estimates: estimatesOf(unseen, evidence, scale),
    statistics: Object.fromEntries(STATISTICS.map((name) => [name, mean([...unseen[name]])])),
  };
}

function labelled(measured, by) {
  const evaluations = measured.map((each) => judged(each, by));
  const solved = solvedFlags(evaluations, by.scale);
  const generalised = sustained(solved);
  const event = evaluations[generalised.indexOf(true)]?.step ?? null;
  return {
    ...{ members: measured[0].members, prompts: by.prompts, known: by.known },
    ...{ evaluations, generalised, event, censored: event === null && generalised.includes(null) },
    ...{ alarmStep: alarmOf(evaluations), collapseStep: collapseOf(evaluations, by) },
  };
}

/** null of one member too. */
function collapseOf(evaluations, { classes }) {
  const detector = new GrokkingDetector();
  for (const { step, members, statistics } of evaluations)
    if (members > 1) detector.push({ ...statistics, step, members, classes });
  return detector.state.collapseStep;
}
