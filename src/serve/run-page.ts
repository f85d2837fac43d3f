/** The live page of a run, from a thread of the process that trains it. Whatever happens to it, the run goes on. */
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

/** Threads are of compiled JavaScript, also when this file itself runs from source. */
const threadFile = fileURLToPath(new URL("../../dist/serve/page-thread.js", import.meta.url));

/** So long a reader may take to ask for the last state of a page. */
const FINISH_MS = 10_000;

export interface RunPage {
  /** Shows those who look at it how the run ended, then ends. */
  finish(): Promise<void>;
  /** Ends as soon as it has begun. */
  close(): Promise<void>;
}

/**
 * @param served gets the address, on this machine only
 * @param failed gets why there is no page, or none any more
 */
export function serveRunPage(
  runDir: string,
  { served, failed }: { served: (url: string) => void; failed: (error: Error) => void },
): RunPage {
  const thread = new Worker(threadFile, { workerData: runDir, execArgv: [] });
  thread.unref();
  const ended = new Promise<void>((resolve) => thread.once("exit", () => resolve()));
  const loaded = once(thread, "message").catch(() => {});
  thread.once("message", served);
  thread.on("error", failed);
  const close = async () => {
    thread.off("message", served);
    thread.ref();
    // A thread that is ended while it loads makes some versions of Node abort.
    await Promise.race([loaded, ended]);
    await thread.terminate();
  };
  return {
    close,
    finish: async () => {
      thread.ref();
      const late = setTimeout(close, FINISH_MS);
      thread.postMessage("finish");
      await ended;
      clearTimeout(late);
    },
  };
}
