/** A thread of the scaling benchmark: warms up, says so, then trains for a while when told to. */
import { parentPort, workerData } from "node:worker_threads";
import { trainSegment } from "../dist/training/segment.js";

const { config, core, member, seconds } = workerData;
const { state } = trainSegment({ config, member, state: null, toStep: 50 }, { core, stop: () => false });
parentPort.once("message", () => {
  const until = performance.now() + 1000 * seconds;
  const request = { config, member, state, toStep: Number.MAX_SAFE_INTEGER };
  const result = trainSegment(request, { core, stop: () => performance.now() > until });
  parentPort.postMessage((result.state.step - state.step) / result.trainSeconds);
});
parentPort.postMessage("ready");
