/**
 * Whole ensembles of one setting over seeds: trains each, keeps its run directory and appends a line to a table.
 *
 *   node experiments/presets/seeds.mjs NAME --seeds 0-9 --runs DIR --out seeds.tsv
 *     [--preset P] [--config FILE.yaml] [--set key=value ...] [--workers 2]
 *
 * Seeds of a name that the table has are skipped; a run that was stopped goes on where it was. Events are those of the
 * summary: `a/b/c` are memorised, generalised and grok step ("-": did not happen), for the median member, the mean
 * prediction and each member; `stay`: members at 0.9 or more of the ceiling of unseen tasks at the last evaluation, from
 * chance.
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { fileLayer, overrideLayer } from "../../dist/config/load.js";
import { presetLayer } from "../../dist/config/presets.js";
import { resolveConfig } from "../../dist/config/resolve.js";
import { enableWideSimd } from "../../dist/core/simd.js";
import { runEnsemble } from "../../dist/run/run.js";
import { inShort } from "./in-short.mjs";

const COLUMNS =
  "name seed members median mean perMember stay peak collapse miPeak miFinal accuracyPerMember ceiling seconds settings";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: "string", default: "0-9" },
    runs: { type: "string" },
    out: { type: "string", default: "seeds.tsv" },
    preset: { type: "string" },
    config: { type: "string" },
    set: { type: "string", multiple: true, default: [] },
    workers: { type: "string", default: "2" },
  },
});
const [name] = positionals;
if (!name || !values.runs) throw new Error("usage: seeds.mjs NAME --seeds 0-9 --runs DIR");
enableWideSimd();
if (!existsSync(values.out)) appendFileSync(values.out, `${COLUMNS.split(" ").join("\t")}\n`);
const done = new Set(
  readFileSync(values.out, "utf8")
    .split("\n")
    .map((line) => line.split("\t").slice(0, 2).join(" ")),
);

const seeds = values.seeds.split(",").flatMap((part) => {
  const [first, last = first] = part.split("-").map(Number);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
});

for (const seed of seeds.filter((seed) => !done.has(`${name} ${seed}`))) {
  const config = resolveConfig([
    ...(values.preset ? [presetLayer(values.preset)] : []),
    ...(values.config ? [fileLayer(values.config)] : []),
    ...values.set.map(overrideLayer),
    overrideLayer(`seed=${seed}`),
  ]);
  const out = join(values.runs, `${name}-${seed}`);
  const started = performance.now();
  const mode = existsSync(join(out, "config.json")) ? "resume" : "new";
  const { summary } = await runEnsemble(config, { out, mode, workers: Number(values.workers) });
  const { ceiling, chance } = summary.references.unseenTasks;
  const share = (accuracy) => (accuracy - chance) / (ceiling - chance);
  const row = [
    name,
    seed,
    summary.members,
    inShort(summary),
    inShort(summary.meanPrediction),
    summary.perMember.map(inShort).join(" "),
    summary.perMember.filter(({ accuracy }) => share(accuracy.unseenTasks) >= 0.9).length,
    summary.uncertaintyPeakStep ?? "-",
    summary.collapseStep ?? "-",
    summary.mutualInformation.peak.toFixed(3),
    summary.mutualInformation.final.toFixed(3),
    summary.perMember.map(({ accuracy }) => accuracy.unseenTasks.toFixed(3)).join(" "),
    ceiling.toFixed(3),
    ((performance.now() - started) / 1000).toFixed(0),
    [values.preset && `--preset ${values.preset}`, values.config, ...values.set].filter(Boolean).join(" "),
  ].join("\t");
  appendFileSync(values.out, `${row}\n`);
  console.log(row);
}
