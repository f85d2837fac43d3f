/** The report of several runs beside each other. */
import type { Config } from "../config/schema.ts";
import { comparisonFigures, type NamedRun, runStyle } from "./figures/comparison.ts";
import { eventKeys, eventNames, membersOf } from "./figures/events.ts";
import { formatNumber, formatPercent, formatStep } from "./format.ts";
import { missingBox, renderedFigure } from "./guarded.ts";
import { escapeHtml } from "./html.ts";
import { figureGrid, htmlPage, htmlTable, section, stepAxisSwitch, withStepAxis } from "./page.ts";
import type { RunData } from "./read-run.ts";
import { verdict } from "./run-page.ts";

/** The comparison as an HTML document. @param faults what of the runs is damaged, and left out */
export async function comparisonPage(runs: RunData[], faults: readonly string[] = []): Promise<string> {
  const named = nameRuns(runs);
  const linear = comparisonFigures(named, "linear");
  const log = comparisonFigures(named, "log");
  const figures = await Promise.all(
    linear.map(async (figure, i) => ({
      ...figure,
      svg: { linear: await renderedFigure(figure), log: await renderedFigure(log[i]) },
    })),
  );
  const differences = configDifferences(runs.map((run) => run.config));
  return htmlPage({
    title: `epigrok: ${runs.length} runs compared`,
    body: [
      ...faults.map((fault) => missingBox("A part of a run", fault)),
      withStepAxis(section("Through training", `${stepAxisSwitch}\n${figureGrid(figures)}`), "linear"),
      section("Events and outcome", eventsTable(named)),
      section(
        "Differences in configuration",
        differences.length === 0
          ? `<p class="note">The configurations are the same.</p>`
          : htmlTable({
              head: ["run", ...differences.map(({ key }) => key)],
              rows: named.map(({ label }, i) => [label, ...differences.map(({ values }) => values[i])]),
              rowPrefix: swatch,
            }),
      ),
      section(
        "Verdicts",
        `<ul>\n${named
          .map(
            ({ label, run }) => `<li><strong>${escapeHtml(label)}</strong>: ${escapeHtml(verdict(run))}</li>`,
          )
          .join("\n")}\n</ul>`,
      ),
    ].join("\n"),
  });
}

/** Runs by the last part of their path; by as many parts as it takes to tell them apart. */
export function nameRuns(runs: RunData[]): NamedRun[] {
  const paths = runs.map((run) => run.directory.split(/[\\/]/).filter(Boolean));
  const longest = Math.max(...paths.map((path) => path.length));
  for (let parts = 1; parts < longest; parts++) {
    const labels = paths.map((path) => path.slice(-parts).join("/"));
    if (new Set(labels).size === runs.length) return runs.map((run, i) => ({ label: labels[i], run }));
  }
  return runs.map((run) => ({ label: run.directory, run }));
}

function eventsTable(runs: NamedRun[]): string {
  const keys = eventKeys.filter((key) => runs.some(({ run }) => run.events[key] !== undefined));
  return htmlTable({
    caption:
      "Steps of the events; lead: grok step minus collapse step. Accuracy and MI of the last evaluation.",
    head: ["run", "K", ...keys.map((key) => eventNames[key]), "lead", "seen", "unseen", "MI (nats)"],
    rows: runs.map(({ label, run }) => {
      const events = run.events;
      const last = run.records.at(-1)?.ensemble;
      return [
        label,
        String(membersOf(run)),
        ...keys.map((key) => formatStep(events[key])),
        events.grokStep !== null && events.collapseStep !== null
          ? formatStep(events.grokStep - events.collapseStep)
          : "–",
        formatPercent(last?.seenTasks?.accuracy),
        formatPercent(last?.unseenTasks?.accuracy),
        formatNumber(last?.unseenTasks?.mutualInformation),
      ];
    }),
    rowPrefix: swatch,
  });
}

/** The run's line as in the figures. */
function swatch(index: number): string {
  const { colour, dash } = runStyle(index);
  const dashes = dash ? ` stroke-dasharray="${dash.join(" ")}"` : "";
  return `<svg class="swatch" viewBox="0 0 28 8" aria-hidden="true"><path d="M1 4H27" stroke="${colour}" stroke-width="3"${dashes}/></svg>`;
}

/** Keys whose values are not the same in all configurations, with the value of each. */
export function configDifferences(configs: Config[]): { key: string; values: string[] }[] {
  const flat = configs.map((config) => new Map(flatten(config, "")));
  const keys = [...new Set(flat.flatMap((map) => [...map.keys()]))];
  return keys
    .map((key) => ({ key, values: flat.map((map) => map.get(key) ?? "–") }))
    .filter(({ values }) => new Set(values).size > 1);
}

function flatten(value: unknown, path: string): [string, string][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return [[path, typeof value === "string" ? value : JSON.stringify(value)]];
  }
  return Object.entries(value).flatMap(([key, inner]) =>
    flatten(inner, path === "" ? key : `${path}.${key}`),
  );
}
