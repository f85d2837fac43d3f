/** Stopping on SIGINT and SIGTERM. */

export const EXIT_CODES: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 130, SIGTERM: 143 };

/** The first SIGINT or SIGTERM asks to stop; the second ends the process at once. */
export function stopOnSignal(cleanUp: () => void) {
  const controller = new AbortController();
  let received: NodeJS.Signals | undefined;
  const listener = (signal: NodeJS.Signals) => {
    if (received !== undefined) {
      cleanUp();
      process.exit(EXIT_CODES[signal]);
    }
    received = signal;
    controller.abort();
  };
  const signals = Object.keys(EXIT_CODES) as NodeJS.Signals[];
  for (const signal of signals) process.on(signal, listener);
  return {
    signal: controller.signal,
    received: () => received,
    dispose: () => {
      for (const signal of signals) process.off(signal, listener);
    },
  };
}

/** As a shell wants it. */
export const quoted = (text: string) =>
  /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
