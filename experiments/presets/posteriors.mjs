/**
 * The paper's two posteriors around the checkpoints of finished runs, beside the ensemble: whether and when each collapses.
 *
 *   node experiments/presets/posteriors.mjs TITLE RUN [RUN...]     the runs of one setting; prints a table
 *
 * Two members of each run at nine of its checkpoints; what is fitted already is not fitted again.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { readRun } from "../../dist/report/read-run.js";
import { methodsTable, posteriorJob } from "../shared/methods.mjs";

const METHODS = ["ensemble", "laplace-last-layer", "ivon"];
const cli = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));

const [title, ...directories] = process.argv.slice(2);
if (directories.length === 0) throw new Error("usage: posteriors.mjs TITLE RUN [RUN...]");
const runs = [];
for (const directory of directories) {
  const [command, ...args] = posteriorJob(METHODS);
  const { status } = spawnSync(process.execPath, [cli, command, directory, ...args], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (status !== 0) throw new Error(`epigrok ${command} ${directory} ended with ${status}`);
  runs.push(await readRun(directory));
}
console.log(`${title}\n\n${methodsTable(runs)}`);
