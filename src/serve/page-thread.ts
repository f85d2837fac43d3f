/** A thread that serves the page of one run, so that the run does not wait while the page is made. */
import { parentPort, workerData } from "node:worker_threads";
import { serve } from "./server.ts";

const serving = await serve({ directory: workerData as string });

parentPort?.once("message", async () => {
  await serving.finish();
  parentPort?.close();
});
parentPort?.postMessage(`${serving.url}run/`);
