/** The linear model under sliders: its curves and times, drawn again while one moves. */
import { formatNumber } from "../report/format.ts";
import { colour } from "../report/theme.ts";
import { studyCurves } from "../report/theory/curves.ts";
import { timesRow } from "../report/theory/times-row.ts";
import { formatTime } from "../report/theory/times-table.ts";
import { covarianceFlow, naturalGradient, type Parametrisation } from "../theory/covariance-flow.ts";
import { logSpaced } from "../theory/grid.ts";
import type { NoiseMode } from "../theory/modes.ts";
import { simulate } from "../theory/simulate.ts";
import { fixedNoiseTimes } from "../theory/times.ts";
import { Chart, chartPlace, type XAxis } from "./chart.ts";
import { element, made } from "./elements.ts";
import { DIMENSION, type TheoryParameters, theoryCommand } from "./theory-command.ts";

const FIRST_TIME = 0.05;
const POINTS = 80;
const DRAWN_POINTS = 18;
/** The integration of a draw takes as long as its last time is late. */
const LAST_DRAWN = 100;
/** At which the parametrisations are compared. */
const COMPARED = { sig2: 1e-3, u0: 1, d: 100 };

const x: XAxis = { label: "t", log: true, format: (t) => String(Number(t.toPrecision(3))) };

/** Sliders whose value is the exponent of ten. */
const LOGARITHMIC = new Set(["sn2", "u0", "level"]);

export class TheoryView {
  readonly #form = element("theory-form", HTMLFormElement);
  readonly #errors: Chart;
  readonly #information: Chart;
  readonly #flows: Chart;
  #asked = false;
  /** As they were drawn last: they depend on lambda and on the times alone. */
  #compared: { key: string; values: number[][] } = { key: "", values: [] };

  constructor() {
    const line = (label: string, own: string, width = 2.25) => ({ label, colour: own, width });
    const dots = (own: string) => ({ colour: own, width: 2.5, dots: true });
    this.#errors = new Chart(chartPlace("theory-errors"), {
      ...{ x, unit: "" },
      lines: [
        { ...line("level", colour.muted, 1.25), dash: [5, 3] },
        line("T, training error", colour.blue),
        line("G, test error", colour.vermillion),
        line("V, epistemic variance", colour.green),
        ...[colour.blue, colour.vermillion, colour.green].map(dots),
      ],
    });
    this.#information = new Chart(chartPlace("theory-information"), {
      ...{ x, unit: " nats" },
      lines: [line("MI", colour.purple), dots(colour.purple)],
    });
    this.#flows = new Chart(chartPlace("theory-flows"), {
      ...{ x, unit: "", top: 1 },
      lines: [
        line("standard deviations, eigenbasis", colour.green),
        line("standard deviations, mean field", colour.vermillion),
        line("log variances", colour.blue),
        line("natural gradient", colour.ochre),
      ],
    });
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    // Draws take too long for every movement of a slider.
    this.#form.addEventListener("input", () => this.#ask());
    this.#form.addEventListener("change", () => this.#draw({ finite: true }));
    this.#draw({ finite: true });
  }

  redraw(): void {
    for (const chart of [this.#errors, this.#information, this.#flows]) chart.redraw();
  }

  /** Once a frame, however fast a slider moves. */
  #ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      if (this.#asked) this.#draw({ finite: false });
    });
  }

  #parameters(): TheoryParameters & { finite: boolean } {
    const data = new FormData(this.#form);
    const number = (name: string) => {
      const value = Number(data.get(name));
      // What is shown is what is computed, and what the command says.
      return LOGARITHMIC.has(name) ? Number((10 ** value).toPrecision(3)) : value;
    };
    for (const name of ["lambda", ...LOGARITHMIC]) {
      element(`theory-${name}`).textContent = formatNumber(number(name));
    }
    return {
      noise: data.get("noise") as NoiseMode,
      ...{ lambda: number("lambda"), sn2: number("sn2"), u0: number("u0"), level: number("level") },
      finite: data.get("finite") !== null,
    };
  }

  #draw({ finite }: { finite: boolean }): void {
    this.#asked = false;
    const { finite: wanted, ...parameters } = this.#parameters();
    const { noise, lambda, sn2, u0, level } = parameters;
    const told = timesOf(parameters);
    const events = told.flatMap(({ t }) => (Number.isFinite(t) ? [t] : []));
    const last = Math.min(1e5, 10 ** Math.ceil(Math.log10(1.5 * Math.max(60, ...events))));
    const t = logSpaced(FIRST_TIME, last, POINTS);
    const curves = studyCurves({ lambda, noise: [noise], sn2, u0 }, t)[noise]!;
    const drawn = finite && wanted ? drawPoints(parameters, t) : null;
    const marks = told
      .filter(({ t: at }) => Number.isFinite(at) && at >= FIRST_TIME && at <= last)
      .map(({ name, t: at }) => ({ x: at, label: name }));
    const dots = (field: "T" | "G" | "V" | "MI") => t.map((_, i) => drawn?.get(i)?.[field] ?? null);
    const words = told.map(({ name, t: at }) => `${name} ${formatTime(at)}`).join(", ");
    this.#errors.draw({
      ...{ x: t, marks, bands: [] },
      values: [t.map(() => level), curves.T, curves.G, curves.V, dots("T"), dots("G"), dots("V")],
      description: `Training error, test error and epistemic variance over time. ${words}.`,
    });
    this.#information.draw({
      ...{ x: t, marks, bands: [] },
      values: [curves.MI.map((value) => (Number.isFinite(value) ? value : null)), dots("MI")],
      description: `Mutual information over time; largest ${formatNumber(Math.max(...curves.MI.filter(Number.isFinite)))} nats.`,
    });
    this.#flows.draw({
      ...{ x: t, marks: [], bands: [] },
      values: this.#flowsOf(lambda, t),
      description: `Share of the initial variance that is left over time in four parametrisations, at lambda ${formatNumber(lambda)}.`,
    });
    element("theory-command").textContent = theoryCommand(parameters, wanted);
    element("theory-times").replaceChildren(
      ...told.map(({ name, meaning, t: at }) =>
        made("div", made("dt", name), made("dd", formatTime(at), made("small", meaning))),
      ),
    );
  }

  #flowsOf(lambda: number, t: readonly number[]): number[][] {
    const key = `${lambda} ${t[t.length - 1]}`;
    if (this.#compared.key !== key) this.#compared = { key, values: flowsOf(lambda, t) };
    return this.#compared.values;
  }
}

interface Told {
  name: string;
  meaning: string;
  t: number;
}

function timesOf({ noise, lambda, sn2, u0, level }: TheoryParameters): Told[] {
  const training = { name: "t train", meaning: "T at the level" };
  const test = { name: "t gen", meaning: "G at the level" };
  const uncertainty = { name: "t U", meaning: "V at the level, from its peak on" };
  if (noise === "fixed") {
    const { tTrain, tGen, tU } = fixedNoiseTimes({ lambda, threshold: level, sn2 });
    return [
      { ...training, t: tTrain },
      { ...test, t: tGen },
      { ...uncertainty, t: tU },
    ];
  }
  const row = timesRow(lambda, level, u0);
  const { tPeak, tU } = row[noise];
  return [
    { ...training, t: row.tTrain },
    { name: "t peak", meaning: "V at its largest", t: tPeak },
    { ...test, t: row.tGen },
    { ...uncertainty, t: tU },
  ];
}

/** One draw, at some of the times, by their places. */
function drawPoints({ noise, lambda, sn2, u0 }: TheoryParameters, t: readonly number[]) {
  const late = t.filter((time) => time <= LAST_DRAWN).length;
  const every = Math.max(1, Math.floor(late / DRAWN_POINTS));
  const places = t.flatMap((time, i) => (time <= LAST_DRAWN && i % every === 0 ? [i] : []));
  const { draws } = simulate({
    d: DIMENSION,
    N: Math.max(1, Math.round(DIMENSION / lambda)),
    t: places.map((i) => t[i]),
    ...{ noise, sn2, draws: 1, tolerance: 1e-5 },
    ...(noise !== "fixed" && { u0 }),
  });
  const [curves] = draws;
  return new Map(
    places.map((place, i) => [
      place,
      {
        T: curves.T[i],
        G: curves.G[i],
        V: curves.V[i],
        MI: Number.isFinite(curves.MI[i]) ? curves.MI[i] : null,
      },
    ]),
  );
}

/** V(t)/V(0) of each parametrisation. */
function flowsOf(lambda: number, t: readonly number[]): number[][] {
  const { sig2, u0, d } = COMPARED;
  const flow = (parametrisation: Parametrisation, basis: "eigen" | "original" = "eigen") =>
    covarianceFlow({ t, lambda, parametrisation, basis, sig2, u0, d }).V;
  return [
    flow("std"),
    flow("std", "original"),
    flow("logVariance"),
    naturalGradient({ t, lambda, sig2, sn2: sig2, u0, wp2: Number.POSITIVE_INFINITY }).V,
  ].map((values) => values.map((value) => value / u0));
}
