/** The page: settings, buttons and a run, and what each makes the others do. */
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import { messageOf } from "../errors.ts";
import { formatStep } from "../report/format.ts";
import { estimateCost } from "../training/cost.ts";
import { type Builds, fetchBuilds } from "./build.ts";
import { canDigest } from "./digest.ts";
import { DropView } from "./drop-view.ts";
import { element } from "./elements.ts";
import { runArchive, save } from "./files.ts";
import { SettingsForm } from "./form.ts";
import { requirePageMemory } from "./memory.ts";
import { Rate } from "./rate.ts";
import { RunView } from "./run-view.ts";
import { Session } from "./session.ts";
import {
  configOf,
  FIRST,
  fromHash,
  type Settings,
  settingsOf,
  toCommand,
  toHash,
  toYaml,
} from "./settings.ts";
import { TheoryView } from "./theory-view.ts";
import { WebWorkers } from "./workers.ts";

/** Processors that the browser lets the page use. */
const cores = navigator.hardwareConcurrency || 2;

const go = element("go", HTMLButtonElement);
const stepButton = element("step", HTMLButtonElement);
const restart = element("restart", HTMLButtonElement);
const speed = element("speed", HTMLSelectElement);
const saveRun = element("save-run", HTMLButtonElement);
const savePredictions = element("save-predictions", HTMLButtonElement);

/** A run with all that belongs to it. */
interface Run {
  session: Session;
  workers: WebWorkers;
  view: RunView;
  /** Step of each member, as it last told. */
  memberSteps: number[];
  training: boolean;
  /** Where it was to pause. */
  until?: number;
  /** Whether it was paused because nobody could see it. */
  hidden: boolean;
}

let builds: Builds;
let startWorker: () => Worker;
/** What the form says; null while that is not allowed. */
let config: Config | null = null;
let run: Run | null = null;
const rate = new Rate();
const form = new SettingsForm((settings) => take(settings, "the form", true));

/** Checks settings and shows what follows from them. */
function take(settings: Settings, source: string, update: boolean): void {
  try {
    config = configOf(settings, source);
    complain("");
  } catch (error) {
    config = null;
    complain(messageOf(error));
    return;
  }
  form.show(config);
  const all = settingsOf(config);
  const address = new URL(location.href);
  address.hash = toHash(all);
  if (update) history.replaceState(null, "", address);
  element("link").textContent = address.href;
  element("command").textContent = toCommand(all);
  element("yaml").textContent = toYaml(all);
  const workers = Math.min(cores, config.ensemble.members);
  element("device").textContent =
    `This browser offers ${cores} ${cores === 1 ? "processor" : "processors"}: ${workers} ${workers === 1 ? "member trains" : "members train"} at a time. On a phone, fewer members and a smaller modulus take less time and battery. Training pauses while the page is hidden.`;
  showControls();
}

function complain(message: string): void {
  const problem = element("problem");
  problem.textContent = message;
  problem.hidden = message === "";
  form.mark(message);
  showControls();
}

const announce = (text: string) => {
  element("announcement").textContent = text;
};

async function begin(): Promise<Run | null> {
  const chosen = config;
  if (!chosen) return null;
  const count = Math.min(cores, chosen.ensemble.members);
  let core: CoreModule;
  try {
    core = await builds.load(chosen.math);
    requirePageMemory(chosen, core, count);
  } catch (error) {
    complain(messageOf(error));
    return null;
  }
  // Another click may have begun one meanwhile.
  end();
  const memberSteps = new Array<number>(chosen.ensemble.members).fill(0);
  const workers = new WebWorkers({
    count,
    core,
    start: startWorker,
    progress: ({ member, step, tokens }) => {
      memberSteps[member] = step;
      rate.add(tokens);
    },
  });
  workers.setShare(Number(speed.value));
  const session = new Session({
    config: chosen,
    core,
    workers,
    observer: {
      evaluated: () => {
        const remark = view.update();
        if (remark) announce(`Step ${remark.step}: ${remark.text}.`);
        saveRun.disabled = !canDigest();
        savePredictions.disabled = false;
      },
      memberFailed: ({ message }) => complain(message),
    },
  });
  const view = new RunView(session);
  run = { session, workers, view, memberSteps, training: false, hidden: false };
  return run;
}

function end(): void {
  run?.workers.close();
  run?.view.destroy();
  run = null;
  saveRun.disabled = savePredictions.disabled = true;
  complain("");
}

/** Trains until it is paused, has come to `until`, or has ended. */
async function train(own: Run, until?: number): Promise<void> {
  own.training = true;
  own.until = until;
  rate.clear();
  try {
    do {
      own.hidden = false;
      showControls();
      await own.session.train(until);
      // A pause takes a while, in which the page may have been shown again.
    } while (run === own && own.hidden && !document.hidden);
    if (run !== own) return;
    if (own.session.finished) {
      own.view.update();
      announce(`Finished after ${Math.round(own.session.seconds)} seconds.`);
    }
  } catch (error) {
    if (run === own) complain(`The run ended: ${messageOf(error)}`);
  } finally {
    own.training = false;
    if (run === own) showControls();
  }
}

/** Whether the settings are others than those of the run. */
const changed = () =>
  run !== null && config !== null && toHash(settingsOf(config)) !== toHash(settingsOf(run.session.config));

function showControls(): void {
  const ready = config !== null && builds !== undefined;
  const finished = run?.session.finished ?? false;
  go.textContent = !run ? "Start" : run.training ? "Pause" : finished ? "Run again" : "Resume";
  go.disabled = !(ready || (run && !finished));
  stepButton.disabled = run ? run.training || finished : !ready;
  restart.disabled = !run || !ready;
  restart.classList.toggle("wanted", changed());
  element("changed").hidden = !changed();
  showProgress();
}

function showProgress(): void {
  const text = element("progress-text");
  const bar = element("progress", HTMLProgressElement);
  if (!run) {
    if (builds) text.textContent = "Ready.";
    bar.value = 0;
    return;
  }
  const { session, memberSteps, training } = run;
  const { steps } = session.config.training;
  const done = memberSteps.reduce((sum, step) => sum + step, 0) / memberSteps.length;
  bar.value = session.finished ? 1 : done / steps;
  const perSecond = training ? rate.perSecond : null;
  const left = (steps - done) * memberSteps.length * estimateCost(session.config).tokensPerStep;
  const state = session.finished
    ? "Finished"
    : training
      ? "Training"
      : run.hidden
        ? "Paused while hidden"
        : "Paused";
  text.textContent = [
    `${state}: step ${formatStep(Math.round(session.finished ? steps : done))} of ${formatStep(steps)}`,
    `${Math.round(session.seconds)} s`,
    ...(perSecond
      ? [
          `${formatStep(1000 * Math.round(perSecond / 1000))} tokens/s on ${run.workers.count} ${run.workers.count === 1 ? "worker" : "workers"}`,
          `about ${Math.ceil(left / perSecond)} s left`,
        ]
      : []),
    `${session.core.math} arithmetic`,
  ].join(", ");
}

go.addEventListener("click", async () => {
  if (run?.training) {
    run.hidden = false;
    run.session.pause();
    announce("Paused.");
    return;
  }
  const own = run && !run.session.finished ? run : await begin();
  if (own) {
    announce("Training.");
    await train(own);
  }
});

stepButton.addEventListener("click", async () => {
  const own = run ?? (await begin());
  const next = own?.session.nextStep;
  if (own && next !== null) await train(own, next);
});

restart.addEventListener("click", async () => {
  const own = await begin();
  if (own) await train(own);
});

speed.addEventListener("change", () => run?.workers.setShare(Number(speed.value)));

document.addEventListener("visibilitychange", async () => {
  const own = run;
  if (!own) return;
  if (document.hidden && own.training) {
    own.hidden = true;
    own.session.pause();
  } else if (!document.hidden && own.hidden && !own.training) await train(own, own.until);
});

saveRun.addEventListener("click", async () => {
  if (run) save("epigrok-run.zip", await runArchive(run.session, run.workers.count), "application/zip");
});

savePredictions.addEventListener("click", () => {
  if (run) save("predictions.npz", run.session.predictions, "application/zip");
});

element("no-saving").hidden = canDigest();

for (const button of document.querySelectorAll<HTMLButtonElement>("[data-copies]")) {
  // A page that came over plain http from another machine has no clipboard.
  button.hidden = navigator.clipboard === undefined;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(element(button.dataset.copies ?? "").textContent ?? "");
    announce("Copied.");
  });
}

window.addEventListener("hashchange", () => take(fromHash(location.hash), "the link", false));

const dropped = new DropView();

/** Drawn when it comes into view. */
let theory: TheoryView | null = null;
new IntersectionObserver((entries, observer) => {
  if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
  observer.disconnect();
  theory = new TheoryView();
}).observe(element("theory-form"));

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  run?.view.redraw();
  theory?.redraw();
  dropped.redraw();
});
setInterval(() => {
  if (run?.training) showProgress();
}, 250);

take(fromHash(location.hash), "the link", false);
// A link that is refused leaves something to correct.
if (!config) form.show(configOf(FIRST, "the page"));
try {
  builds = fetchBuilds(document.baseURI);
  const source = await fetch(new URL("worker.js", document.baseURI));
  const url = URL.createObjectURL(await source.blob());
  startWorker = () => new Worker(url);
  showControls();
} catch (error) {
  complain(messageOf(error));
}
