/** What the page shows of a run: everything but how far it has come. */
import { explanation, frameHtml, legend } from "../report/answers/table-html.ts";
import { eventMarks, learningSets, setColour, uncertaintyBands } from "../report/figures/events.ts";
import { formatNumber, formatPercent, formatStep } from "../report/format.ts";
import { headline, story } from "../report/story.ts";
import { colour } from "../report/theme.ts";
import type { MetricsRecord } from "../run/records.ts";
import type { ProbeSetName } from "../tasks/probe-sets.ts";
import type { DetectorState } from "../uncertainty/detector.ts";
import { verdict } from "../uncertainty/verdict.ts";
import { Chart, chartPlace, type XAxis } from "./chart.ts";
import { type Remark, remarkOn } from "./detector-log.ts";
import { element, made } from "./elements.ts";
import type { Session } from "./session.ts";

const LABELS: Partial<Record<ProbeSetName, string>> = {
  trainPrompts: "pool",
  seenTasks: "fresh",
  unseenTasks: "unseen",
};

export class RunView {
  readonly #session: Session;
  readonly #sets: ProbeSetName[];
  readonly #accuracy: Chart;
  readonly #information: Chart;
  readonly #rows = made("tbody");
  #detector: DetectorState | null = null;

  constructor(session: Session) {
    this.#session = session;
    const { config } = session;
    this.#sets = learningSets(session).map(({ set }) => set);
    const members = config.ensemble.members;
    const x: XAxis = { label: "step", range: [0, config.training.steps], format: formatStep };
    this.#accuracy = new Chart(chartPlace("accuracy"), {
      x,
      top: 1,
      unit: "",
      lines: [
        { label: "ceiling", colour: colour.muted, width: 1.25, dash: [5, 3] },
        ...Array.from({ length: members }, () => ({
          colour: setColour.unseenTasks,
          width: 1,
          opacity: 0.45,
        })),
        ...this.#sets.map((set) => ({ label: LABELS[set] ?? set, colour: setColour[set], width: 2.5 })),
      ],
    });
    this.#information = new Chart(chartPlace("information"), {
      x,
      unit: " nats",
      lines: [
        { label: "fresh", colour: setColour.seenTasks, width: 1.5 },
        { label: "unseen", colour: setColour.unseenTasks, width: 2.75 },
      ],
    });
    for (const id of ["facts", "detector", "story", "answers"]) element(id).replaceChildren();
    element("headline").hidden = element("answers").hidden = true;
    element("numbers").replaceChildren(this.#numbers());
  }

  /** After an evaluation, or the end. @returns what the detector has to say that is new */
  update(): Remark | null {
    const { config, records, references } = this.#session;
    const { events, detector } = this.#session.reading;
    const told = {
      events,
      detector,
      records,
      references,
      config,
      summary: this.#session.finished ? {} : null,
    };
    this.#drawCharts(told);
    element("headline").hidden = false;
    element("headline").textContent = headline(told);
    element("story").replaceChildren(
      ...story(told).map(({ event, text }) => made("li", made("b", event), ` ${text}`)),
    );
    element("verdict").textContent = verdict(null, detector);
    const remark = remarkOn(this.#detector, detector);
    this.#detector = detector;
    if (remark)
      element("detector").append(made("li", made("b", `step ${formatStep(remark.step)}`), ` ${remark.text}`));
    this.#showFacts(records[records.length - 1], detector);
    this.#showAnswers();
    for (const record of records.slice(this.#rows.childElementCount)) this.#rows.prepend(this.#row(record));
    return remark;
  }

  redraw(): void {
    this.#accuracy.redraw();
    this.#information.redraw();
  }

  destroy(): void {
    this.#accuracy.destroy();
    this.#information.destroy();
  }

  #drawCharts(told: Parameters<typeof uncertaintyBands>[0] & Parameters<typeof eventMarks>[0]): void {
    const { config, records, references } = this.#session;
    const steps = records.map(({ step }) => step);
    const ceiling = references.unseenTasks?.ceiling ?? null;
    const [bands, marks] = [uncertaintyBands(told), eventMarks(told)];
    const last = records[records.length - 1];
    const at = `at step ${last.step} of ${config.training.steps}`;
    this.#accuracy.draw({
      ...{ x: steps, marks, bands },
      values: [
        steps.map(() => ceiling),
        ...Array.from({ length: config.ensemble.members }, (_, member) =>
          records.map(
            (record) =>
              record.members.find((each) => each.member === member)?.sets.unseenTasks?.accuracy ?? null,
          ),
        ),
        ...this.#sets.map((set) => records.map(({ ensemble }) => ensemble[set]?.accuracy ?? null)),
      ],
      description: `Accuracy over training steps; ${at}: ${this.#sets.map((set) => `${LABELS[set]} ${formatPercent(last.ensemble[set]?.accuracy)}`).join(", ")}.`,
    });
    const information = (set: ProbeSetName) =>
      records.map(({ ensemble }) => ensemble[set]?.mutualInformation ?? null);
    this.#information.draw({
      ...{ x: steps, marks, bands },
      values: [information("seenTasks"), information("unseenTasks")],
      description: `Mutual information over training steps; ${at}: ${formatNumber(last.ensemble.unseenTasks?.mutualInformation)} nats on unseen tasks.`,
    });
  }

  #showFacts({ ensemble }: MetricsRecord, { phase, peakMutualInformation: peak }: DetectorState): void {
    const ceiling = this.#session.references.unseenTasks?.ceiling;
    const facts: [string, string, string][] = [
      ...this.#sets.map((set): [string, string, string] => [
        `accuracy, ${LABELS[set]}`,
        formatPercent(ensemble[set]?.accuracy),
        set === "unseenTasks" ? `ceiling ${formatPercent(ceiling)}` : "",
      ]),
      [
        "mutual information",
        `${formatNumber(ensemble.unseenTasks?.mutualInformation)} nats`,
        peak === null ? "" : `peak ${formatNumber(peak)} nats`,
      ],
      ["detector", phase, "without labels"],
    ];
    element("facts").replaceChildren(
      ...facts.map(([term, value, note]) =>
        made("div", made("dt", term), made("dd", value, made("small", note))),
      ),
    );
  }

  #showAnswers(): void {
    const { answers, config } = this.#session;
    const record = answers.at(-1);
    if (!record) return;
    const place = element("answers");
    place.innerHTML = frameHtml({ record, name: "" });
    if (!place.hidden) return;
    place.hidden = false;
    element("answers-text").textContent = explanation({ config, answers });
    element("answers-legend").innerHTML = legend();
  }

  #numbers(): HTMLElement {
    const heads = ["step", ...this.#sets.map((set) => LABELS[set] ?? set), "MI unseen (nats)"];
    const head = made("tr", ...heads.map((text) => Object.assign(made("th", text), { scope: "col" })));
    const table = made("table", made("thead", head), this.#rows);
    const scroll = made("div", table);
    scroll.className = "scroll";
    scroll.tabIndex = 0;
    scroll.role = "region";
    scroll.ariaLabel = "Numbers of every evaluation";
    return scroll;
  }

  #row({ step, ensemble }: MetricsRecord): HTMLElement {
    return made(
      "tr",
      Object.assign(made("th", formatStep(step)), { scope: "row" }),
      ...this.#sets.map((set) => made("td", formatPercent(ensemble[set]?.accuracy))),
      made("td", formatNumber(ensemble.unseenTasks?.mutualInformation)),
    );
  }
}
