/** A thread that serves the page of one run, so that the run does not wait while the page is made. */
import { parentPort, workerData } from "node:worker_threads";
import { PORT } from "./port.ts";
import { serve } from "./server.ts";

const directory = workerData as string;
// A page that is open comes back to the address it had, when a run that was killed goes on.
const serving = await serve({ directory, port: PORT }).catch(() => serve({ directory }));

parentPort?.once("message", async () => {
  await serving.finish();
  parentPort?.close();
});
parentPort?.postMessage(`${serving.url}run/`);
