/**
 * Prints by how many bytes this process grows at most when one worker starts, predicts and trains, and how many of them
 * are the member's state that the controller keeps whatever the workers do. In: a configuration.
 */
import { loadCoreModule } from "../dist/core/build.js";
import { enableWideSimd } from "../dist/core/simd.js";
import { createWorkerPool } from "../dist/pool/pool.js";

const POLL_MS = 5;
const STEPS = 3;

const config = JSON.parse(process.argv[2]);
enableWideSimd();
const core = await loadCoreModule(config.math);
const resident = () => process.memoryUsage.rss();
const before = resident();
let peak = before;
setInterval(() => {
  peak = Math.max(peak, resident());
}, POLL_MS).unref();
const pool = createWorkerPool({ workers: 1, members: 1, core });
let state = null;
for (const toStep of [0, STEPS]) {
  ({ state } = await pool.runSegment({ config, member: 0, state, toStep }));
  peak = Math.max(peak, resident());
}
await pool.close();
const arrays = Object.values(state).filter((value) => ArrayBuffer.isView(value));
const controllerBytes = arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);
console.log(JSON.stringify({ processBytes: peak - before, controllerBytes }));
