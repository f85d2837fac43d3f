import { type ChildProcess, fork, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { UsageError } from "../src/errors.ts";
import { acquireLock, breakLock, holderOf } from "../src/run/lock.ts";
import { nameOf, type Owner, thisProcess } from "../src/run/owner.ts";
import { epigrok } from "./fixtures/cli.ts";
import { FRESH_ASSIGNMENTS } from "./fixtures/config.ts";
import { temporaryDirectory } from "./fixtures/temporary.ts";

const root = temporaryDirectory();
let count = 0;
const fresh = () => join(root, `lock${count++}`);

const hasProc = existsSync("/proc/self/stat");
const dead = spawnSync(process.execPath, ["--version"]).pid;
const elsewhere = { machine: "0123456789ab", host: "another-machine" };

/** A lock as its owner leaves it, `age` seconds after its last sign of life. */
function lockBy(owner: Partial<Owner>, age = 0): string {
  const path = fresh();
  mkdirSync(path);
  const claim = join(path, nameOf({ ...thisProcess(), ...owner }));
  writeFileSync(claim, "Held");
  const then = new Date(Date.now() - 1000 * age);
  utimesSync(claim, then, then);
  return path;
}

/** A lock of an earlier version: a file. */
function fileBy(owner: object | string, age = 0): string {
  const path = fresh();
  writeFileSync(path, typeof owner === "string" ? owner : JSON.stringify(owner));
  const then = new Date(Date.now() - 1000 * age);
  utimesSync(path, then, then);
  return path;
}

const taken = (path: string) => {
  const lock = acquireLock(path);
  lock.assertHeld();
  expect(readdirSync(path)).toHaveLength(1);
  lock.release();
  expect(existsSync(path)).toBe(false);
};

describe("a lock", () => {
  it("is one process's at a time, which leaves nothing behind", () => {
    const path = fresh();
    const lock = acquireLock(path);
    expect(() => acquireLock(path)).toThrow(`being written by process ${process.pid}`);
    expect(() => acquireLock(path)).toThrow(UsageError);
    expect(holderOf(path)).toMatchObject({ pid: process.pid, dead: hasProc ? false : null });
    lock.release();
    lock.release();
    expect(readdirSync(root).filter((name) => name.startsWith("lock"))).toEqual([]);
    expect(holderOf(path)).toBeNull();
  });

  it("is taken over from a process that is gone", () => {
    taken(lockBy({ pid: dead }));
    taken(fileBy({ pid: dead, host: hostname(), started: "1" }));
  });

  it.runIf(hasProc)("is taken over if the owner's pid now belongs to another process", () => {
    taken(lockBy({ started: "1" }));
    taken(fileBy({ pid: process.pid, host: hostname(), started: "1" }));
    expect(() => acquireLock(lockBy({}, 3600))).toThrow("being written by");
  });

  it("is respected on another machine until its lease has run out", () => {
    for (const path of [
      lockBy({ ...elsewhere, pid: dead }, 50),
      // Another container of this machine, or another machine of its name, where the same pid is another process.
      lockBy({ machine: elsewhere.machine }, 50),
      fileBy({ pid: dead, host: elsewhere.host, started: "1" }, 50),
    ]) {
      expect(() => acquireLock(path)).toThrow(
        /process \d+ on [\w.-]+; its last sign of life was 5\d s ago, and 60 s after it .*epigrok unlock/,
      );
      const then = new Date(Date.now() - 61_000);
      const [claim] = statSync(path).isDirectory() ? readdirSync(path) : [""];
      utimesSync(join(path, claim), then, then);
      taken(path);
    }
  });

  it("is taken over if it was cut off while it was made", () => {
    taken(fileBy('{"pid":'));
    const empty = fresh();
    mkdirSync(empty);
    taken(empty);
  });

  it("that was taken over or broken stays with its new owner, and the old one writes no more", () => {
    const path = fresh();
    const old = acquireLock(path);
    const [claim] = readdirSync(path);
    renameSync(join(path, claim), join(path, nameOf({ ...thisProcess(), ...elsewhere, pid: 77 })));
    expect(() => old.assertHeld()).toThrow(
      /held by process 77 on another-machine: this process writes no more/,
    );
    old.release();
    expect(holderOf(path)).toMatchObject({ pid: 77, host: "another-machine", dead: null });
    const mine = lockBy({ pid: dead });
    const lock = acquireLock(mine);
    breakLock(mine);
    expect(() => lock.assertHeld()).toThrow("was broken");
    const next = acquireLock(mine);
    lock.release();
    next.assertHeld();
    next.release();
  });

  it("with something unknown in it is an error, and can be broken", () => {
    const path = fresh();
    mkdirSync(path);
    writeFileSync(join(path, "notes"), "");
    expect(() => acquireLock(path)).toThrow(
      /cannot take the lock .*: notes is in it\. Remove it, or let epigrok unlock/,
    );
    breakLock(path);
    taken(path);
    for (const target of [fresh(), root]) {
      const link = fresh();
      symlinkSync(target, link);
      expect(() => acquireLock(link)).toThrow(/cannot take the lock .*: it is a link/);
      breakLock(link);
      taken(link);
    }
    expect(existsSync(root)).toBe(true);
  });

  it.runIf(hasProc)("is taken over from a zombie", async () => {
    // A parent that never asks what became of its child.
    const parent = spawn("sh", ["-c", "sleep 0.2 & echo $!; exec sleep 30"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const pid = Number(String((await once(parent.stdout, "data"))[0]));
      const started = () => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
      const path = lockBy({ pid, started: started()[19] });
      expect(() => acquireLock(path)).toThrow("being written by");
      while (started()[0] !== "Z") await new Promise((resolve) => setTimeout(resolve, 20));
      process.kill(pid, 0);
      taken(path);
    } finally {
      parent.kill();
    }
  });

  it("is given up by a process that ends, however it comes to its end", async () => {
    for (const end of ["process.exit(3)", "throw new Error('no')", ""]) {
      const path = fresh();
      const module = new URL("../dist/run/lock.js", import.meta.url).href;
      const script = `import { acquireLock } from ${JSON.stringify(module)}; acquireLock(${JSON.stringify(path)}); ${end}`;
      spawnSync(process.execPath, ["--input-type=module", "-e", script]);
      expect(existsSync(path)).toBe(false);
    }
  });
});

describe("many processes", () => {
  const file = fileURLToPath(new URL("./fixtures/lock-worker.mjs", import.meta.url));
  const contenders: ChildProcess[] = [];
  afterAll(() => {
    for (const child of contenders) child.kill();
  });
  const ask = async (message: object) =>
    Promise.all(
      contenders.map(async (child) => {
        child.send(message);
        const died = once(child, "exit").then(() => {
          throw new Error("a process that wanted a lock died");
        });
        return (await Promise.race([once(child, "message"), died]))[0];
      }),
    );

  it("that want one lock, stale or fresh, never get it together", async () => {
    for (let i = 0; i < 4; i++) contenders.push(fork(file));
    await Promise.all(contenders.map((child) => once(child, "message")));
    const kinds = [
      () => lockBy({ pid: dead }),
      () => fresh(),
      () => lockBy(elsewhere, 100),
      () => fileBy({ pid: dead, host: hostname(), started: "1" }),
    ];
    for (let round = 0; round < 100; round++) {
      const path = kinds[round % kinds.length]();
      const go = `${path}-go`;
      const answers = ask({ what: "try", path, go });
      await new Promise((resolve) => setTimeout(resolve, 2));
      writeFileSync(go, "");
      expect((await answers).filter(({ held }) => held)).toHaveLength(1);
      await ask({ what: "release" });
      expect(existsSync(path)).toBe(false);
      rmSync(go);
    }
  }, 300_000);

  it("that take it and give it back are never in it together", async () => {
    const path = fresh();
    const counts = await ask({ what: "storm", path, times: 20 });
    expect(counts.map(({ doubles }) => doubles)).toEqual([0, 0, 0, 0]);
    expect(existsSync(path)).toBe(false);
  }, 300_000);
});

describe("epigrok", () => {
  const TINY = [
    ...FRESH_ASSIGNMENTS,
    "task.modulus=7",
    "task.trainTasks=5",
    "model.dModel=16",
    "model.nLayers=1",
    "model.nHeads=2",
    "model.dMlp=16",
  ]
    .concat("training.steps=20", "training.batchSize=8", "evaluation.every=10", "evaluation.prompts=4")
    .flatMap((assignment) => ["--set", assignment]);
  const run = (...more: string[]) =>
    epigrok(["run", ...TINY, "--members", "1", "--quiet", ...more], { cwd: root });

  it("gives runs that begin together directories of their own", async () => {
    const outcomes = await Promise.all(Array.from({ length: 3 }, () => run()));
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(readdirSync(join(root, "runs"))).toHaveLength(3);
  });

  it("makes no directory for a run that is refused", async () => {
    const before = readdirSync(join(root, "runs"));
    expect((await run("--set", "task.examples=0")).code).toBe(2);
    expect((await run("--dry-run")).code).toBe(0);
    expect(readdirSync(join(root, "runs"))).toEqual(before);
  });

  it("breaks a lock on purpose", async () => {
    const out = join(root, "locked");
    expect((await run("--out", out)).code).toBe(0);
    const lock = join(out, "lock");
    renameSync(lockBy(elsewhere), lock);
    const refused = await epigrok(["posterior", out, "--quiet"]);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("epigrok unlock") });
    const broken = await epigrok(["unlock", out]);
    expect(broken).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/broke the lock of process \d+ on another-machine/),
    });
    expect(existsSync(lock)).toBe(false);
    expect((await epigrok(["unlock", out])).stdout).toBe("the run is not locked\n");
    mkdirSync(lock);
    writeFileSync(join(lock, ".nfs0001"), "");
    expect((await run("--resume", out)).stderr).toMatch(
      /\.nfs0001 is in it\. Remove it, or let epigrok unlock/,
    );
    expect((await epigrok(["unlock", out])).stdout).toBe(
      "removed what was in the place of the lock: .nfs0001 is in it\n",
    );
    expect((await run("--resume", out)).code).toBe(0);
  });

  it.runIf(hasProc)("breaks the lock of a living process of this machine only with --force", async () => {
    const out = join(root, "locked");
    renameSync(lockBy({}), join(out, "lock"));
    const refused = await epigrok(["unlock", out]);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("--force") });
    expect((await epigrok(["unlock", out, "--force"])).code).toBe(0);
    expect(existsSync(join(out, "lock"))).toBe(false);
  });

  it("unlocks nothing that is no run", async () => {
    const other = fresh();
    mkdirSync(other);
    writeFileSync(join(other, "lock"), "a file of the user's");
    expect((await epigrok(["unlock", other])).code).toBe(2);
    expect(readdirSync(other)).toEqual(["lock"]);
  });
});
