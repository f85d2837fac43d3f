/**
 * Sweeps on a real Slurm of two nodes: one is lost in the middle, one task runs into its time limit, and every result has to
 * be what the local backend gives.
 *
 *   npm run test:slurm     after npm run build; skipped where there is no Slurm (Debian: apt-get install slurm-wlm)
 *
 * Everything is in a directory of its own and belongs to this process: no systemd, no accounting, no other Slurm.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { runContents } from "./disturbed.mjs";

const PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel"];
const PATH = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;
const missing = PROGRAMS.filter((name) => !PATH.split(":").some((folder) => existsSync(join(folder, name))));
if (missing.length > 0) {
  console.log(
    `test:slurm is skipped: there is no ${missing.join(", no ")} (Debian: apt-get install slurm-wlm)`,
  );
  process.exit(0);
}

const root = mkdtempSync(join(tmpdir(), "slurm-"));
const CONF = join(root, "slurm.conf");
const environment = { ...process.env, PATH, SLURM_CONF: CONF };
const cli = resolve(import.meta.dirname, "../dist/cli.js");
const log = (text) => console.log(`${new Date().toISOString().slice(11, 19)}  ${text}`);

/** Runs a command to its end. @returns what it printed */
function command(program, args, { cwd = root } = {}) {
  return execFileSync(program, args, {
    cwd,
    env: environment,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
}
const epigrok = (...args) => command(process.execPath, [cli, ...args]);

const children = [];
function daemon(program, args, more = {}) {
  const child = spawn(program, args, { cwd: root, env: { ...environment, ...more }, stdio: "ignore" });
  child.on("error", (error) => log(`${program}: ${error.message}`));
  children.push(child);
  return child;
}

/** `epigrok ARGS` beside whatever else goes on, whose time it leaves alone. @returns its exit code, in the end */
function epigrokMeanwhile(...args) {
  const child = spawn("nice", [process.execPath, cli, ...args], { cwd: root, stdio: "inherit" });
  children.push(child);
  return new Promise((resolve) => child.on("exit", resolve));
}

async function until(what, seconds, condition) {
  const end = Date.now() + 1000 * seconds;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await wait(200);
  }
}

const NODES = ["n1", "n2"];
const port = 20000 + (process.pid % 20000);

function configure() {
  for (const folder of ["munge", "run", "state", "log", ...NODES.map((node) => join("spool", node))])
    mkdirSync(join(root, folder), { recursive: true, mode: 0o700 });
  writeFileSync(join(root, "munge", "munge.key"), randomBytes(128), { mode: 0o400 });
  const { username } = userInfo();
  const host = hostname().split(".")[0];
  writeFileSync(
    join(root, "cgroup.conf"),
    `CgroupPlugin=cgroup/v1\nCgroupMountpoint=${root}/nocgroup\nCgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\nConstrainSwapSpace=no\n`,
  );
  writeFileSync(
    CONF,
    `ClusterName=epigrok
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${port}
SlurmUser=${username}
SlurmdUser=${username}
AuthType=auth/munge
AuthInfo=socket=${root}/run/munge.socket,cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
MinJobAge=3600
MaxArraySize=11
MaxJobCount=20000
KillWait=5
SlurmdTimeout=8
SlurmctldPidFile=${root}/run/slurmctld.pid
SlurmdPidFile=${root}/run/slurmd-%n.pid
StateSaveLocation=${root}/state
SlurmdSpoolDir=${root}/spool/%n
SlurmctldLogFile=${root}/log/slurmctld.log
SlurmdLogFile=${root}/log/slurmd-%n.log
SlurmdParameters=config_overrides
MailProg=/bin/true
${NODES.map((node, i) => `NodeName=${node} NodeHostname=${host} NodeAddr=127.0.0.1 Port=${port + 1 + i} CPUs=1 RealMemory=4000 State=UNKNOWN`).join("\n")}
PartitionName=local Nodes=${NODES.join(",")} Default=YES MaxTime=INFINITE State=UP DefMemPerCPU=512
`,
  );
}

const startNode = (node) => daemon("slurmd", ["-D", "-N", node, "-f", CONF], { SWEEP_TEST_NODE: node });

async function start() {
  const munge = (name) => `${root}/munge/${name}`;
  daemon("munged", [
    ...["--foreground", "--force", `--socket=${root}/run/munge.socket`, `--key-file=${munge("munge.key")}`],
    ...[
      `--pid-file=${root}/run/munged.pid`,
      `--log-file=${munge("munged.log")}`,
      `--seed-file=${munge("munged.seed")}`,
    ],
  ]);
  await until("munge", 30, () => existsSync(`${root}/run/munge.socket`));
  daemon("slurmctld", ["-D", "-i", "-f", CONF]);
  for (const node of NODES) startNode(node);
  await until("two idle nodes", 60, () => {
    try {
      return command("sinfo", ["-h", "-N", "-o", "%N %t"]).match(/idle/g)?.length === NODES.length;
    } catch {
      return false;
    }
  });
}

/** Processes of a node: its daemon, the steps of jobs, the jobs. */
function processesOf(node) {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
        return (
          words.includes(`SLURM_CONF=${CONF}`) &&
          (words.includes(`SWEEP_TEST_NODE=${node}`) || words.includes(`SLURMD_NODENAME=${node}`))
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}

function lose(node) {
  const processes = processesOf(node);
  for (const pid of processes) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
  return processes.length;
}

/** Settings of runs of some seconds; `steps` makes one of them longer than a task may be. */
const sweep = (long) => ({
  set: {
    task: { modulus: 7, trainTasks: 5, zeroTask: true, examples: 3, promptPool: 0 },
    model: { dModel: 32, nHeads: 2, nLayers: 1, dMlp: 64 },
    training: { steps: 500, batchSize: 32, schedule: "constant", warmupSteps: 5, lossPositions: "all" },
    evaluation: { every: 100, prompts: 8 },
    ensemble: { members: 1 },
  },
  settings: [
    { "training.steps": long, "evaluation.every": 2000, seed: 99 },
    ...["strict", "fast"].flatMap((math) => Array.from({ length: 6 }, (_, seed) => ({ math, seed }))),
  ],
});

/** What equal sweeps share byte for byte: results, and all files of all runs but for times, places and commands. */
function resultsOf(directory) {
  const runs = readdirSync(join(directory, "runs")).flatMap((run) =>
    Object.entries(runContents(join(directory, "runs", run))).map(([name, hash]) => [join(run, name), hash]),
  );
  const tables = ["results.jsonl", "results.csv", "results.parquet"].map((name) => [
    name,
    createHash("sha256")
      .update(readFileSync(join(directory, name)))
      .digest("hex"),
  ]);
  return Object.fromEntries([...runs, ...tables]);
}

const statusOf = (directory) => JSON.parse(epigrok("sweep", "status", directory, "--json"));

/** Steps that take so many seconds of processor time, whatever else the machine does; without what starting takes. */
function stepsOf(seconds) {
  const [few, many] = [4000, 24000];
  return Math.round((seconds * (many - few)) / (secondsOf(many) - secondsOf(few)));
}

function secondsOf(steps) {
  const { set, settings } = sweep(steps);
  writeFileSync(join(root, "one.yaml"), JSON.stringify({ set, settings: settings.slice(0, 1) }));
  const timed = `TIMEFORMAT=%U; time "$0" "$1" sweep one.yaml --out one-${steps} --quiet >/dev/null`;
  const { stderr } = spawnSync("bash", ["-c", timed, process.execPath, cli], {
    ...{ cwd: root, env: environment, encoding: "utf8" },
  });
  return Number(stderr.trim().split("\n").at(-1));
}

/**
 * A limit is a whole number of minutes, and Slurm looks every 30 s whether the signal is due: sent 30 s before the limit, it
 * comes within the first 30 s of a task.
 */
const SIGNAL = "B:USR2@30";
const LONG_SECONDS = 38;

async function test() {
  const file = join(root, "sweep.yaml");
  const long = stepsOf(LONG_SECONDS);
  log(`one of the runs is to last ${LONG_SECONDS} s, with ${long} steps`);
  writeFileSync(file, JSON.stringify(sweep(long)));
  const started = Date.now();
  const submission = JSON.parse(
    epigrok(
      ...[
        "sweep",
        file,
        "--out",
        "cluster",
        "--backend",
        "slurm",
        "--time",
        "1",
        "--per-task",
        "1",
        "--cpus",
        "1",
      ],
      ...[`--sbatch-arg=--signal=${SIGNAL}`, "--partition", "local", "--json"],
    ),
  );
  log(
    `submitted ${submission.tasks} tasks as jobs ${submission.jobs.join(", ")} in ${(Date.now() - started) / 1000} s`,
  );
  assert.equal(submission.tasks, 13);
  // Two arrays of at most MaxArraySize tasks, and the results.
  assert.equal(submission.jobs.length, 3);
  assert.throws(
    () =>
      execFileSync(process.execPath, [cli, "sweep", "cluster", "--backend", "slurm"], {
        cwd: root,
        env: environment,
        stdio: "pipe",
      }),
    /is in the queue/,
  );

  const local = epigrokMeanwhile("sweep", file, "--out", "local", "--quiet");
  await until("two finished runs while another is on n2", 300, () => {
    const { counts, jobs } = statusOf("cluster");
    return counts.finished >= 2 && jobs.some(({ state, nodes }) => state === "RUNNING" && nodes === "n2");
  });
  log(`n2 is lost, with ${lose("n2")} processes`);
  await until("n2 down", 120, () => /down/.test(command("sinfo", ["-h", "-n", "n2", "-o", "%t"])));
  log("n2 is down, and starts again");
  startNode("n2");

  await until("all runs and their results", 900, () => existsSync(join(root, "cluster", "results.parquet")));
  await until("an empty queue", 120, () => statusOf("cluster").jobs.length === 0);
  const { counts } = statusOf("cluster");
  log(`the cluster has finished ${counts.finished} runs`);
  assert.deepEqual(counts, { finished: 13, running: 0, interrupted: 0, waiting: 0, failed: 0 });
  const logs = readdirSync(join(root, "cluster", "slurm", "1"))
    .filter((name) => name.endsWith(".log"))
    .map((name) => readFileSync(join(root, "cluster", "slurm", "1", name), "utf8"));
  const requeued = logs.filter((text) => text.includes("put into the queue again")).length;
  log(`${requeued} tasks went on after their time limit`);
  assert.ok(requeued >= 1, "no task was put into the queue again");
  const restarts = command("scontrol", ["show", "jobs", "-o"]).match(/Restarts=[1-9]/g)?.length ?? 0;
  assert.ok(restarts >= 2, `${restarts} tasks were restarted: that of the lost node is missing`);

  assert.equal(await local, 0);
  assert.deepEqual(resultsOf(join(root, "cluster")), resultsOf(join(root, "local")));
  log(
    `${Object.keys(resultsOf(join(root, "local"))).length} files are the same as those of the local backend`,
  );

  epigrok("sweep", file, "--out", "cancelled", "--backend", "slurm", "--per-task", "1", "--cpus", "1");
  const other = command("sbatch", ["--parsable", "--wrap", "sleep 1"]).trim();
  epigrok("sweep", "cancel", "cancelled");
  await until("cancelled jobs", 60, () =>
    statusOf("cancelled").jobs.every(({ state }) => state === "COMPLETING"),
  );
  assert.doesNotMatch(command("scontrol", ["show", "job", other]), /JobState=CANCELLED/);
  log("cancel has cancelled the jobs of its sweep, and no other one");
}

try {
  configure();
  await start();
  log(`Slurm with nodes ${NODES.join(" and ")} in ${root}`);
  await test();
  log("test:slurm has passed");
} catch (error) {
  for (const name of existsSync(join(root, "log")) ? readdirSync(join(root, "log")) : [])
    console.error(
      `--- ${name}\n${readFileSync(join(root, "log", name), "utf8")
        .split("\n")
        .slice(-30)
        .join("\n")}`,
    );
  console.error(error);
  process.exitCode = 1;
} finally {
  for (const node of NODES) lose(node);
  for (const child of children.reverse()) child.kill("SIGKILL");
  await wait(500);
  rmSync(root, { recursive: true, force: true, maxRetries: 5 });
}
