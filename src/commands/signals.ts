/** Stopping on the signals of terminals, schedulers and service managers. */
import { constants } from "node:os";

/** Typed by somebody who waits. A second one ends the process at once. */
const TYPED: readonly NodeJS.Signals[] = ["SIGINT", "SIGQUIT", "SIGBREAK"];

/** Of a job that is ended or moved, a terminal that goes, a limit that draws near; often sent more than once. */
const SENT: readonly NodeJS.Signals[] = [
  ...(["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const),
  ...(["SIGXCPU", "SIGALRM", "SIGVTALRM", "SIGPWR"] as const),
];

/** npm passes on a Ctrl-C that the terminal has sent to the process itself, too: so close together it is one. */
const SAME_MS = 300;

/** As shells have it. */
const exitCode = (signal: NodeJS.Signals) => 128 + constants.signals[signal];

export interface Interruption {
  /** Aborted by the first signal. */
  signal: AbortSignal;
  /** The first signal; undefined before. */
  received(): NodeJS.Signals | undefined;
  /** What the process ends with once it has stopped. */
  exitCode(): number;
  dispose(): void;
}

/** @param cleanUp called before the process is ended at once */
export function stopOnSignal(cleanUp: () => void): Interruption {
  const controller = new AbortController();
  let first: { signal: NodeJS.Signals; at: number } | undefined;
  const listener = (signal: NodeJS.Signals) => {
    const now = performance.now();
    if (first && TYPED.includes(signal) && now - first.at > SAME_MS) {
      cleanUp();
      process.exit(exitCode(signal));
    }
    first ??= { signal, at: now };
    controller.abort();
  };
  const signals = [...TYPED, ...SENT].filter((signal) => signal in constants.signals);
  for (const signal of signals) process.on(signal, listener);
  return {
    signal: controller.signal,
    received: () => first?.signal,
    exitCode: () => exitCode(first?.signal ?? "SIGINT"),
    dispose: () => {
      for (const signal of signals) process.off(signal, listener);
    },
  };
}

/** As a shell wants it. */
export const quoted = (text: string) =>
  /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
