/** The score as tables. */
import { ESTIMATORS } from "../../dist/diagnosis/estimators.js";
import { KINDS } from "./intervals.mjs";
import { SIGNALS } from "./signals.mjs";

export const fixed = (value, digits = 3) =>
  value === null || value === undefined ? "" : (Object.is(value, -0) ? 0 : value).toFixed(digits);
export const percent = (share) => (share === null ? "" : `${(100 * share).toFixed(0)} %`);
export const range = (interval, digits) =>
  interval ? ` (${fixed(interval[0], digits)} to ${fixed(interval[1], digits)})` : "";

const shares = (interval) => (interval ? ` (${percent(interval[0])} to ${percent(interval[1])})` : "");

export function table(head, rows) {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

const TITLES = { pool: "With a prompt pool", fresh: "With fresh prompts" };

export function asMarkdown(score) {
  const groups = Object.keys(score.signals);
  const sections = [
    ["Runs", runsTable(score)],
    ["Failures of the rule", failuresTable(score.failures)],
    ["Estimate without prompts asked back and agreement, fitted", combinationText(score.combination)],
    ...groups.map((group) => [`${TITLES[group]}: rankings`, signalsTable(score.signals[group])]),
    ...groups.map((group) => [`${TITLES[group]}: alarms`, alarmsTable(score.alarms[group])]),
    ...groups.map((group) => [
      `${TITLES[group]}: other thresholds`,
      thresholdsTable(score.thresholds[group]),
    ]),
    ...groups.map((group) => [`${TITLES[group]}: accuracy`, estimatesTable(score.estimates[group])]),
    ...groups.map((group) => [`${TITLES[group]}: probability`, reliabilityTable(score.reliability[group])]),
    ...groups.map((group) => [`${TITLES[group]}: single prompts`, singlesTable(score.singlePrompts[group])]),
    ...groups.map((group) => [`${TITLES[group]}: intervals`, intervalsTable(score.intervals[group])]),
    ["Early warning", warningTables(score.warning)],
  ];
  return `${sections.map(([title, text]) => `## ${title}\n\n${text}`).join("\n\n")}\n`;
}

function runsTable({ counts, leftOut }) {
  const rows = Object.entries(counts).flatMap(([split, byGroup]) =>
    Object.entries(byGroup).map(([group, { runs, settings, evaluations, memorised, grokked, censored }]) => [
      split,
      group,
      settings,
      runs,
      evaluations,
      memorised,
      grokked,
      censored,
    ]),
  );
  const left = Object.entries(leftOut).map(([reason, count]) => `${count} ${reason}`);
  return `${table(["", "", "settings", "runs", "evaluations", "memorise", "grok", "end before it is known"], rows)}\n\nLeft out: ${left.join(", ") || "none"}.`;
}

function combinationText({ constant, estimate, agreement }) {
  return `Logit of the probability: ${fixed(constant, 2)} + ${fixed(estimate, 2)} x estimate, as a share of the way from chance to the ceiling, + ${fixed(agreement, 2)} x share of pairs of members that agree.`;
}

export function failuresTable(failures) {
  const rows = failures.map(
    ({ name, group, setting, seed, members, faults, event, alarmStep, lead, error, worst, highest }) => [
      ...[
        name,
        group,
        setting,
        seed,
        members,
        faults.join(", "),
        event ?? "none",
        alarmStep ?? "none",
        fixed(lead, 2),
        fixed(error),
      ],
      `${worst.step}: ${fixed(worst.estimated, 2)} for ${fixed(worst.accuracy, 2)}, ${worst.state}`,
      fixed(highest, 2),
    ],
  );
  return table(
    [
      "run",
      "",
      "setting",
      "seed",
      "members",
      "what",
      "event",
      "alarm",
      "octaves",
      "mean error",
      "worst estimate",
      "best accuracy",
    ],
    rows,
  );
}

function signalsTable(signals) {
  const rows = Object.entries(signals)
    .sort(([, a], [, b]) => (b.evaluations.auroc ?? 0) - (a.evaluations.auroc ?? 0))
    .map(([name, { runs, evaluations, memorised, whole }]) => [
      ...[SIGNALS[name].label, runs],
      fixed(evaluations.auroc) + range(evaluations.interval),
      fixed(evaluations.averagePrecision),
      fixed(memorised.auroc) + range(memorised.interval),
      fixed(whole.auroc) + range(whole.interval),
      fixed(whole.averagePrecision),
    ]);
  return table(
    ["signal", "runs", "AUROC, evaluations", "AP", "AUROC once memorised", "AUROC, runs", "AP"],
    rows,
  );
}

function alarmsTable(alarms) {
  const rows = Object.entries(alarms)
    .sort(([, a], [, b]) => a.cost - b.cost)
    .map(([name, alarm]) => [
      SIGNALS[name].label,
      `${alarm.missed} of ${alarm.due}${shares(alarm.missedInterval)}`,
      `${alarm.false} of ${alarm.notDue}${shares(alarm.falseInterval)}`,
      `${alarm.early}, ${alarm.late}`,
      `${fixed(alarm.medianLead, 2)}${range(alarm.quartiles, 2)}`,
      `${fixed(alarm.medianOff, 2)}${range(alarm.interval, 2)}`,
      fixed(alarm.cost, 2),
    ]);
  return table(
    [
      "signal",
      "missed",
      "false",
      "early, late",
      "octaves after the event (quartiles)",
      "off (95 %)",
      "mean cost",
    ],
    rows,
  );
}

function thresholdsTable(rows) {
  return table(
    ["probability above", "missed", "false", "early, late", "octaves after the event", "off", "mean cost"],
    rows.map(({ threshold, missed, due, false: wrong, notDue, early, late, medianLead, medianOff, cost }) => [
      ...[fixed(threshold, 2), `${missed} of ${due}`, `${wrong} of ${notDue}`, `${early}, ${late}`],
      ...[fixed(medianLead, 2), fixed(medianOff, 2), fixed(cost, 2)],
    ]),
  );
}

function estimatesTable({ errors, coverage, width }) {
  const rows = Object.entries(errors)
    .sort(([, a], [, b]) => a.all.value - b.all.value)
    .map(([name, { all, memorised }]) => [
      name === "rule" ? "**rule**" : ESTIMATORS[name].label,
      fixed(all.value) + range(all.interval),
      fixed(memorised.value) + range(memorised.interval),
    ]);
  const held = ({ value, interval }) => percent(value) + shares(interval);
  return `${table(["estimate", "mean absolute error", "once memorised"], rows)}\n\nThe interval of the rule holds the accuracy at ${held(coverage.all)} of the evaluations, ${held(coverage.memorised)} once memorised; it is ${fixed(width, 2)} wide.`;
}

function reliabilityTable(bins) {
  return table(
    ["probability", "evaluations", "said", "have generalised"],
    bins.map(({ from, to, count, said, were }) => [
      `${fixed(from, 2)} to ${fixed(to, 2)}`,
      count,
      fixed(said, 2),
      fixed(were, 2),
    ]),
  );
}

function singlesTable(phases) {
  const rows = Object.entries(phases).flatMap(([phase, { uncertainties, evaluations, leastArea }]) => [
    ...Object.entries(uncertainties).map(([name, { auroc, area, risks }]) => [
      ...[phase, evaluations, NAMES[name], fixed(auroc), fixed(area)],
      ...(risks ?? ["", "", "", ""]).map((risk) => fixed(risk === "" ? null : risk)),
    ]),
    [phase, evaluations, "who knows", "1.000", fixed(leastArea), "", "", "", ""],
  ]);
  const scaled = Object.entries(phases).map(([phase, each]) => [
    ...[
      phase,
      fixed(each.ece),
      fixed(each.scaledEce),
      fixed(each.nll),
      fixed(each.scaledNll),
      fixed(each.temperature, 2),
    ],
  ]);
  const bins = Object.entries(phases).flatMap(([phase, { bins: all }]) =>
    (all ?? []).map(({ count, confidence, accuracy }) => [
      phase,
      count,
      fixed(confidence, 2),
      fixed(accuracy, 2),
    ]),
  );
  return [
    table(
      [
        "",
        "evaluations",
        "uncertainty",
        "AUROC of errors",
        "risk over coverage",
        "risk at 25 %",
        "50 %",
        "75 %",
        "100 %",
      ],
      rows,
    ),
    table(["", "ECE", "with temperature", "nats", "with temperature", "median temperature"], scaled),
    table(["", "answers", "mean confidence", "right"], bins),
  ].join("\n\n");
}

const NAMES = {
  totalEntropy: "total entropy",
  expectedEntropy: "expected entropy",
  mutualInformation: "mutual information",
  disagreement: "disagreement",
  confidence: "1 - confidence",
};

function intervalsTable(rows) {
  const kinds = Object.keys(KINDS);
  return table(
    [
      ...["of the rule", "development", "test"],
      ...kinds.map((kind) => `from development, resampling ${kind}`),
      ...kinds.map((kind) => `holds the other half, ${kind}`),
    ],
    rows.map(({ name, here, there, intervals, held }) => [
      ...[name, fixed(here), fixed(there)],
      ...intervals.map((interval) => range(interval).trim().slice(1, -1)),
      ...held.map(percent),
    ]),
  );
}

function warningTables({ rows, c, multiple, ridges, developmentRuns, withinOctave }) {
  const steps = table(
    [
      "of the delay",
      "prediction",
      "runs",
      "octaves off (95 %)",
      "quartiles",
      "octaves off, of the steps that remain",
    ],
    rows.map(({ share, name, runs, median, quartiles, interval, remaining }) => [
      ...[
        percent(share),
        name,
        runs,
        fixed(median, 2) + range(interval, 2),
        quartiles.map((q) => fixed(q, 2)).join(" to "),
      ],
      Number.isFinite(remaining) ? fixed(remaining, 2) : "",
    ]),
  );
  const soon = withinOctave
    ? table(
        ["groks within an octave, from", "AUROC (95 %)", "AP"],
        withinOctave.rows.map(({ name, auroc, interval, averagePrecision }) => [
          name,
          fixed(auroc) + range(interval),
          fixed(averagePrecision),
        ]),
      )
    : "";
  const note = `Fitted on ${developmentRuns} development runs: c = ${fixed(c, 3)}, ${fixed(multiple, 2)} times the step, ridges ${Object.values(ridges).join(", ")}.`;
  const asked = withinOctave ? `${withinOctave.positive} of ${withinOctave.evaluations} evaluations.` : "";
  return [steps, note, soon, asked].filter(Boolean).join("\n\n");
}
