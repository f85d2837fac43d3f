/** `epigrok export`: what other programs read. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { diagnoseRun } from "../src/diagnosis/diagnose-run.ts";
import { readPredictions } from "../src/diagnosis/files.ts";
import { decodeNpz } from "../src/diagnosis/npz.ts";
import { crc32c } from "../src/export/event-file.ts";
import {
  createConfig,
  diagnose,
  type ExportOptions,
  exportData,
  readRun,
  runEnsemble,
} from "../src/index.ts";
import type { MemberEvaluation } from "../src/pool/controller.ts";
import { predictionsFile } from "../src/run/files.ts";
import { runHash } from "../src/run/identity.ts";
import { encodePredictions } from "../src/run/predictions.ts";
import { readMetrics } from "../src/run/read.ts";
import { columnOf, csvOf, parquetOf } from "../src/run/table.ts";
import { readTensors } from "../src/run/tensors.ts";
import { writeWhole } from "../src/run/write-file.ts";
import { readSweep, runDirectory } from "../src/sweep/directory.ts";
import { runSweep } from "../src/sweep/sweep.ts";
import { epigrok } from "./fixtures/cli.ts";
import { readParquet } from "./fixtures/parquet.ts";
import { python, pythonWith } from "./fixtures/python.ts";
import { TINY } from "./fixtures/sweep.ts";
import { fileHashes, temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
const at = (...parts: string[]) => join(root, ...parts);
const run = at("ensemble");
const sweep = at("grid");
const config = createConfig({ ...TINY, ensemble: { members: 3 } });
const BARE = { ...TINY, evaluation: { ...TINY.evaluation, savePredictions: "none" as const } };

let count = 0;
/** Exports to a fresh place. */
const exported = (directory: string, options: ExportOptions) =>
  exportData(directory, { out: at("out", String(count++), "file"), ...options });
const linesOf = (path: string) => readFileSync(path, "utf8").trimEnd().split("\n");

beforeAll(async () => {
  await runEnsemble(config, { out: run, workers: 1 });
  const axes = { seed: [0, 1], "task.trainTasks": [4, 5] };
  await runSweep({ set: BARE, axes }, { out: sweep, workers: 1 });
  await runEnsemble(createConfig(BARE), { out: at("bare"), workers: 1 });
}, 60_000);

describe("a table", () => {
  it("of a run has a row for each number of its metrics", async () => {
    const [header, ...rows] = linesOf(await exported(run, { format: "csv" }));
    expect(header).toBe("run,step,member,set,position,metric,value");
    const records = await readMetrics(run);
    const last = records.at(-1)!;
    const { unseenTasks } = last.ensemble;
    expect(rows).toContain(`ensemble,60,,unseenTasks,,accuracy,${unseenTasks!.accuracy}`);
    expect(rows).toContain(`ensemble,60,,unseenTasks,1,accuracy,${unseenTasks!.accuracyByPosition[1]}`);
    expect(rows).toContain(
      `ensemble,60,,unseenTasks,,distanceG.totalVariation,${unseenTasks!.distanceG.totalVariation}`,
    );
    expect(rows).toContain(`ensemble,60,,,,learningRate,${last.learningRate}`);
    expect(rows).toContain(`ensemble,60,2,,,loss,${last.members[2].loss}`);
    expect(rows).toContain(`ensemble,60,2,seenTasks,,nll,${last.members[2].sets.seenTasks!.nll}`);
    const numbers = JSON.stringify(records).match(/[:,[](-?\d[^,\]}]*)/g)!;
    // All but the version and step of a record, and the number of each member in it.
    const others = records.flatMap((record) => [
      record.step,
      ...("version" in record ? [1] : []),
      ...record.members,
    ]);
    expect(rows).toHaveLength(numbers.length - others.length);
  });

  it("of a sweep is that of its results, or of the metrics of all its runs", async () => {
    const results = await exported(sweep, { format: "csv" });
    expect(readFileSync(results)).toEqual(readFileSync(join(sweep, "results.csv")));
    const [header, ...rows] = linesOf(await exported(sweep, { format: "csv", metrics: true }));
    expect(header).toBe("run,seed,task.trainTasks,step,member,set,position,metric,value");
    const { runs } = readSweep(sweep);
    const all = await Promise.all(
      runs.map(({ run }) => exported(runDirectory(sweep, run), { format: "csv" })),
    );
    const expected = all.flatMap((path, i) => {
      const { seed, "task.trainTasks": tasks } = runs[i].settings;
      const name = `${runs[i].run},`;
      return linesOf(path)
        .slice(1)
        .map((line) => line.replace(name, `${name}${seed},${tasks},`));
    });
    expect(rows).toEqual(expected);
  });

  it.each(["run", "sweep"])("has the same rows in Parquet: %s", async (which) => {
    const [directory, metrics] = which === "run" ? [run, false] : [sweep, true];
    const [header, ...rows] = linesOf(await exported(directory, { format: "csv", metrics }));
    const table = await readParquet(await exported(directory, { format: "parquet", metrics }));
    expect(table.columns).toEqual(header.split(","));
    expect(table.rows.map((row) => row.map((cell) => cell ?? "").join(","))).toEqual(rows);
  });

  it("keeps the type of a setting, and what has none as JSON", async () => {
    const values = {
      integer: [1, null, -(2 ** 31)],
      number: [1, 0.5, 2 ** 40],
      boolean: [true, null, false],
      text: ['say "a, b"', null, "é\nf"],
      mixed: ["none", 2, [1, 2]],
      empty: [null, undefined, null],
    };
    const columns = Object.entries(values).map(([name, column]) => columnOf(name, column));
    expect(columns.map(({ type }) => type)).toEqual(["integer", "number", "boolean", "text", "text", "text"]);
    const rows = () => [0, 1, 2].map((i) => [Object.values(values).map((column) => column[i])]);
    const path = at("types.parquet");
    await writeWhole(path, parquetOf({ columns, rows }));
    expect((await readParquet(path)).rows).toEqual([
      [1, 1, true, 'say "a, b"', "none", null],
      [null, 0.5, null, null, "2", null],
      [-(2 ** 31), 2 ** 40, false, "é\nf", "[1,2]", null],
    ]);
    let text = "";
    for await (const part of csvOf({ columns, rows })) text += part;
    expect(text).toBe(
      'integer,number,boolean,text,mixed,empty\n1,1,true,"say ""a, b""",none,\n,0.5,,,2,\n' +
        '-2147483648,1099511627776,false,"é\nf","[1,2]",\n',
    );
  });

  it("may have no rows, or more than one group of them", async () => {
    const columns = [columnOf("i", [1])];
    for (const lengths of [[], [60_000, 60_000, 1]]) {
      const path = at(`${lengths.length}.parquet`);
      const rows = () => lengths.map((length) => Array.from({ length }, (_, i) => [i]));
      await writeWhole(path, parquetOf({ columns, rows }));
      const read = await readParquet(path);
      expect(read.columns).toEqual(["i"]);
      expect(read.rows).toEqual(rows().flat());
    }
  });
});

describe("npz", () => {
  it("is diagnosed as the run is", async () => {
    const path = await exported(run, { format: "npz" });
    const data = await readRun(run);
    const expected = (await diagnoseRun(data))!.result;
    const { ceilingByPosition, ...scale } = data.references.unseenTasks!;
    expect(expected).toMatchObject({
      ...{ chance: scale.chance, ceiling: scale.ceiling, cycleChance: ceilingByPosition[0] },
      cycleCeiling: expect.closeTo(1, 1),
    });
    expect(expected.evaluations.every(({ estimates }) => estimates.cycle !== null)).toBe(true);
    const { chance, ceiling, cycleChance, cycleCeiling } = expected;
    const settings = { chance, ceiling, cycleChance: cycleChance!, cycleCeiling: cycleCeiling! };
    expect(diagnose({ ...(await readPredictions(path)), ...settings })).toEqual(expected);
    expect(readFileSync(await exported(run, { format: "npz" }))).toEqual(readFileSync(path));
  });

  it("has the metrics, NaN where there are none", async () => {
    const names = [
      ...["steps", "ensemble.learningRate", "ensemble.unseenTasks.mutualInformationByPosition"],
      ...["members.loss", "members.seenTasks.accuracyByPosition"],
    ].map((name) => `metrics.${name}`);
    const { arrays } = decodeNpz(readFileSync(await exported(run, { format: "npz" })), names);
    const [steps, rate, information, loss, accuracy] = names.map((name) => arrays.get(name)!);
    const records = await readMetrics(run);
    expect([...steps.data]).toEqual(records.map(({ step }) => step));
    expect([...rate.data]).toEqual(records.map(({ learningRate }) => learningRate));
    expect(information.shape).toEqual([4, 3]);
    expect([...information.data]).toEqual(
      records.flatMap(({ ensemble }) => ensemble.unseenTasks!.mutualInformationByPosition),
    );
    expect(loss.shape).toEqual([4, 3]);
    expect([...loss.data]).toEqual(
      records.flatMap(({ members }) => members.map((member) => member.loss ?? Number.NaN)),
    );
    expect(accuracy.shape).toEqual([4, 3, 3]);
    expect([...accuracy.data]).toEqual(
      records.flatMap(({ members }) => members.flatMap(({ sets }) => sets.seenTasks!.accuracyByPosition)),
    );
  });

  it("leaves out a member that is not in all evaluations", async () => {
    const out = at("failing");
    await runEnsemble(config, { out, workers: 1 });
    const whole = decodeNpz(readFileSync(await exported(out, { format: "npz" })), ["predictions"]).arrays;
    // As if member 1 had failed before the last evaluation.
    const place = { directory: out, file: predictionsFile(60) };
    const { tensors } = await readTensors(place, null, { step: 60 }, (file) => file);
    const remaining = [0, 2].map((member) => ({
      member,
      predictions: [...tensors].map(([set, { shape, data }]) => {
        const size = shape[1] * shape[2];
        return { set, probabilities: (data as Float32Array).slice(member * size, (member + 1) * size) };
      }),
    })) as MemberEvaluation[];
    const shape = { positions: 1, classes: config.task.modulus };
    writeFileSync(join(out, place.file), encodePredictions(60, remaining, "last", shape, runHash(config)));
    const path = await exported(out, { format: "npz" });
    const { arrays } = decodeNpz(readFileSync(path), ["predictions", "members", "steps"]);
    expect([...arrays.get("members")!.data]).toEqual([0, 2]);
    expect([...arrays.get("steps")!.data]).toEqual([0, 20, 40, 60]);
    const [all, some] = [whole, arrays].map((each) => each.get("predictions")!);
    const [steps, members, prompts, classes] = all.shape;
    const size = prompts * classes;
    expect(some.shape).toEqual([steps, members - 1, prompts, classes]);
    const expected = [0, 1, 2, 3].flatMap((step) =>
      [0, 2].flatMap((member) => {
        const begin = (step * members + member) * size;
        return [...all.data.subarray(begin, begin + size)];
      }),
    );
    expect([...some.data]).toEqual(expected);
  });

  it("of a sweep is a file for each run", async () => {
    const out = at("kept");
    await runSweep({ set: TINY, axes: { seed: [0, 1] } }, { out, workers: 1 });
    const path = await exported(out, { format: "npz" });
    const names = readSweep(out).runs.map(({ run }) => `${run}.npz`);
    expect(readdirSync(path).sort()).toEqual(names.sort());
    for (const name of names) expect((await readPredictions(join(path, name))).steps).toHaveLength(4);
  });
});

/** Events of a file, each checked against its checksums: wall time, step, scalars by tag. */
function eventsIn(path: string) {
  const file = readFileSync(path);
  const events: { version?: string; time: number; step: number; scalars: Map<string, number> }[] = [];
  for (let offset = 0; offset < file.length; ) {
    const length = Number(file.readBigUInt64LE(offset));
    const data = file.subarray(offset + 12, offset + 12 + length);
    for (const [bytes, end] of [
      [file.subarray(offset, offset + 8), 8],
      [data, 12 + length],
    ] as const) {
      const rotated = (file.readUInt32LE(offset + end) - 0xa282ead8) >>> 0;
      expect(((rotated >>> 17) | (rotated << 15)) >>> 0).toBe(crc32c(bytes));
    }
    offset += 16 + length;
    const event = fieldsOf(data);
    const scalars = fieldsOf(event.get(5)?.[0] ?? Buffer.alloc(0)).get(1) ?? [];
    events.push({
      version: event.get(3)?.[0].toString(),
      time: event.get(1)![0].readDoubleLE(),
      step: event.get(2) ? Number(event.get(2)![0].toString()) : 0,
      scalars: new Map(
        scalars.map((value) => {
          const scalar = fieldsOf(value);
          return [scalar.get(1)![0].toString(), scalar.get(2)![0].readFloatLE()];
        }),
      ),
    });
  }
  return events;
}

/** Values of a protocol buffer by number of their field; integers in decimals. */
function fieldsOf(buffer: Buffer): Map<number, Buffer[]> {
  const fields = new Map<number, Buffer[]>();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = buffer[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  while (at < buffer.length) {
    const key = varint();
    const [field, type] = [key >> 3, key & 7];
    let value: Buffer;
    if (type === 0) value = Buffer.from(String(varint()));
    else {
      const length = type === 2 ? varint() : type === 1 ? 8 : 4;
      value = buffer.subarray(at, at + length);
      at += length;
    }
    fields.set(field, [...(fields.get(field) ?? []), value]);
  }
  return fields;
}

describe("tensorboard", () => {
  it("has the checksum of RFC 3720", () => {
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  });

  it("has an event for each evaluation", async () => {
    const folder = await exported(run, { format: "tensorboard" });
    expect(folder).toMatch(/ensemble$/);
    const [first, ...events] = eventsIn(join(folder, "events.out.tfevents.epigrok"));
    expect(first.version).toBe("brain.Event:2");
    const records = await readMetrics(run);
    expect(events.map(({ step }) => step)).toEqual(records.map(({ step }) => step));
    for (const [i, { scalars }] of events.entries()) {
      const { ensemble, members, learningRate } = records[i];
      const single = (value: number | null) => (value === null ? undefined : Math.fround(value));
      expect(scalars.get("unseenTasks/mutualInformation")).toBe(
        single(ensemble.unseenTasks!.mutualInformation),
      );
      expect(scalars.get("seenTasksByPosition/accuracy/2")).toBe(
        single(ensemble.seenTasks!.accuracyByPosition[2]),
      );
      expect(scalars.get("training/learningRate")).toBe(single(learningRate));
      expect(scalars.get("member-02/loss")).toBe(single(members[2].loss));
      expect(scalars.get("member-02/unseenTasks/nll")).toBe(single(members[2].sets.unseenTasks!.nll));
    }
    const times = events.map(({ time }) => time);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    const now = Date.now() / 1000;
    for (const time of times) expect(Math.abs(time - now)).toBeLessThan(600);
  });

  it("of a sweep is a folder for each run, with its settings in its name", async () => {
    const folder = await exported(sweep, { format: "tensorboard" });
    const names = readSweep(sweep).runs.map(
      ({ run, settings }) => `seed=${settings.seed}_task.trainTasks=${settings["task.trainTasks"]}_${run}`,
    );
    expect(readdirSync(folder).sort()).toEqual(names.sort());
    expect(eventsIn(join(folder, names[0], "events.out.tfevents.epigrok"))).toHaveLength(5);
  });
});

describe("what cannot be exported", () => {
  it.each<[string, string, Partial<ExportOptions>, RegExp]>([
    [
      "an unknown format",
      "ensemble",
      { format: "xlsx" as "csv" },
      /^format: got "xlsx", must be one of csv, parquet/,
    ],
    ["nothing", "none", {}, /^no such directory: .*none$/],
    ["another folder", "empty", {}, /empty holds neither a run nor a sweep$/],
    ["a file", "file", {}, /file holds neither a run nor a sweep$/],
    ["a run without evaluations", "begun", {}, /begun has no evaluations so far$/],
    [
      "a run without predictions",
      "bare",
      { format: "npz" },
      /bare has kept no predictions: .*savePredictions=last\)$/,
    ],
    ["runs without predictions", "grid", { format: "npz" }, /grid\/runs\/\w+ has kept no predictions: /],
    ["metrics of a run", "ensemble", { metrics: true }, /^metrics goes with csv or parquet of a sweep/],
    [
      "metrics as events",
      "grid",
      { metrics: true, format: "tensorboard" },
      /^metrics goes with csv or parquet/,
    ],
  ])("%s", async (_, name, options, message) => {
    mkdirSync(at("empty"), { recursive: true });
    writeFileSync(at("file"), "");
    if (name === "begun") {
      mkdirSync(at(name));
      writeFileSync(at(name, "config.json"), readFileSync(join(run, "config.json")));
    }
    const before = fileHashes(root);
    await expect(exported(at(name), { format: "csv", ...options })).rejects.toThrow(message);
    expect(fileHashes(root)).toEqual(before);
  });

  it("a run with a damaged file, of which nothing is left out in silence", async () => {
    const out = at("damaged");
    await runEnsemble(config, { out, workers: 1 });
    const path = join(out, "metrics.jsonl");
    writeFileSync(path, readFileSync(path, "utf8").replace('"step":40', '"step":41'));
    await expect(exported(out, { format: "csv" })).rejects.toThrow(/metrics\.jsonl:3: damaged/);
  });
});

describe("a run of a sweep in the place of another one", () => {
  it.each(["csv", "parquet", "tensorboard"] as const)("is not exported as that: %s", async (format) => {
    const out = at(`swapped-${format}`);
    cpSync(sweep, out, { recursive: true });
    const [first, second] = readSweep(out).runs.map((each) => runDirectory(out, each.run));
    rmSync(first, { recursive: true });
    cpSync(second, first, { recursive: true });
    const metrics = format !== "tensorboard";
    await expect(exported(out, { format, metrics })).rejects.toThrow(
      `${join(first, "config.json")}: missing, or of another run`,
    );
  });
});

describe("a place", () => {
  it("is what is there only with --overwrite, and then whole", async () => {
    const out = at("mine.csv");
    writeFileSync(out, "mine");
    await expect(exportData(run, { format: "csv", out })).rejects.toThrow(
      /mine\.csv is there: replace it with --overwrite, or choose another --out$/,
    );
    expect(readFileSync(out, "utf8")).toBe("mine");
    await exportData(run, { format: "csv", out, overwrite: true });
    expect(linesOf(out)[0]).toMatch(/^run,step/);
  });

  it("is no other run's, and not beside runs that are there", async () => {
    const logs = at("logs");
    await exportData(run, { format: "tensorboard", out: logs });
    await exportData(sweep, { format: "tensorboard", out: logs });
    expect(readdirSync(logs).sort()).toEqual(["ensemble", "grid"]);
    await expect(exportData(run, { format: "tensorboard", out: logs })).rejects.toThrow(
      /tfevents.* is there/,
    );
    await exportData(run, { format: "tensorboard", out: logs, overwrite: true });
    expect(readdirSync(join(logs, "ensemble"))).toHaveLength(1);
  });

  it.each<[string, string]>([
    ["a folder", "logs-folder"],
    ["in a file", "file-in-the-way/table.csv"],
    ["in the run", "ensemble/table.csv"],
    ["the run's metrics", "ensemble/metrics.jsonl"],
    ["in a folder of the run", "ensemble/predictions/new/table.csv"],
    ["in a sweep", "grid/results.csv"],
    ["in a run of a sweep, through a link", "link/runs/table.csv"],
  ])("is never %s", async (_, out) => {
    mkdirSync(at("logs-folder"), { recursive: true });
    writeFileSync(at("file-in-the-way"), "");
    if (!existsSync(at("link"))) symlinkSync(sweep, at("link"));
    const before = fileHashes(root);
    await expect(exportData(run, { format: "csv", out: at(out), overwrite: true })).rejects.toThrow(
      /is a folder, must be a file|which is no folder|a run or a sweep, which has no place for it/,
    );
    expect(fileHashes(root)).toEqual(before);
  });
});

describe("epigrok export", () => {
  const command = (...args: string[]) => epigrok(["export", ...args], { cwd: root });

  it.each([
    ["ensemble", "csv", "ensemble-metrics.csv"],
    ["ensemble", "parquet", "ensemble-metrics.parquet"],
    ["ensemble", "npz", "ensemble-predictions.npz"],
    ["ensemble", "tensorboard", "tensorboard/ensemble"],
    ["grid", "csv", "grid-results.csv"],
    ["grid", "tensorboard", "tensorboard/grid"],
  ])("%s as %s is %s unless told otherwise", async (name, format, path) => {
    const { code, stdout, stderr } = await command(name, "--format", format);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: `${path}\n`, stderr: "" });
    expect(existsSync(at(path))).toBe(true);
    const again = await command(name, "--format", format);
    expect([again.code, again.stderr]).toEqual([
      2,
      expect.stringContaining("is there: replace it with --overwrite"),
    ]);
  });

  it.each<[string[], RegExp]>([
    [["ensemble"], /Missing required argument: format/],
    [["ensemble", "--format", "xlsx"], /Given: "xlsx", Choices: "csv", "parquet", "tensorboard", "npz"/],
    [["--format", "csv"], /Not enough non-option arguments/],
    [["none", "--format", "csv"], /no such directory: none/],
  ])("%j is refused", async (args, message) => {
    const { code, stderr } = await command(...args);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
  });

  it("is diagnosed by epigrok diagnose", async () => {
    const { stdout } = await command("ensemble", "--format", "npz", "--out", "again.npz");
    const { code, stdout: text } = await epigrok(["diagnose", "--predictions", stdout.trim(), "--json"], {
      cwd: root,
    });
    expect(code).toBe(0);
    expect(JSON.parse(text).evaluations).toHaveLength(4);
  });
});

const numpy = pythonWith("numpy");
const pandas = pythonWith("pandas");

describe("Python", () => {
  it.skipIf(!numpy)("NumPy reads the arrays", async () => {
    const path = await exported(run, { format: "npz" });
    const code = `
import json, sys, numpy
a = numpy.load(sys.argv[1])
print(json.dumps([a["predictions"].shape, a["predictions"].dtype.name, a["steps"].tolist(),
  a["metrics.members.loss"].shape, float(abs(a["predictions"].sum(-1) - 1).max())]))`;
    const [shape, type, steps, loss, error] = JSON.parse(python(["-c", code, path], { python: numpy }));
    expect([shape, type, steps, loss]).toEqual([[4, 3, 8, 7], "float32", [0, 20, 40, 60], [4, 3]]);
    expect(error).toBeLessThan(1e-6);
  });

  it.skipIf(!pandas)("pandas reads the table", async () => {
    const path = await exported(sweep, { format: "csv", metrics: true });
    const code = `
import sys, pandas
t = pandas.read_csv(sys.argv[1])
m = t.query("metric == 'accuracy' and set == 'unseenTasks' and member.isna() and position.isna()")
print(m.groupby(["task.trainTasks", "step"])["value"].mean().to_json(orient="values"))`;
    const means: number[] = JSON.parse(python(["-c", code, path], { python: pandas }));
    expect(means).toHaveLength(8);
    const { runs } = readSweep(sweep);
    const four = runs.filter(({ settings }) => settings["task.trainTasks"] === 4);
    const ends = await Promise.all(
      four.map(async ({ run }) => (await readMetrics(runDirectory(sweep, run))).at(-1)!.ensemble),
    );
    const expected = ends.reduce((sum, { unseenTasks }) => sum + unseenTasks!.accuracy / ends.length, 0);
    expect(means[3]).toBeCloseTo(expected, 9);
  });
});
