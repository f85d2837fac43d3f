/** What a signal ranks: evaluations that have generalised above others, and runs that do. */
import { lowestInRow } from "./events.mjs";
import { Ranking } from "./ranking.mjs";
import { scoresOf } from "./signals.mjs";

/** Runs that have the signal, with its scores. */
export const withScores = (name, runs) =>
  runs.flatMap((run) => {
    const scores = scoresOf(name, run);
    return scores ? [{ ...run, scores, steps: run.evaluations.map(({ step }) => step) }] : [];
  });

/** Of evaluations, of those after memorising, and of runs; groups are places in the list. */
export function rankingsOf(having) {
  const items = having.flatMap(({ scores, generalised, memorised = null, steps }, group) =>
    scores.flatMap((score, i) =>
      generalised[i] === null
        ? []
        : [{ score, label: generalised[i], group, late: memorised !== null && steps[i] >= memorised }],
    ),
  );
  return {
    evaluations: new Ranking(items),
    memorised: new Ranking(items.filter((item) => item.late)),
    whole: new Ranking(
      having.flatMap(({ scores, event, censored }, group) =>
        censored ? [] : [{ score: Math.max(...lowestInRow(scores)), label: event !== null, group }],
      ),
    ),
  };
}
