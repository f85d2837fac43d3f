import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type TaskConfig, taskSchema } from "../src/config/schema.ts";
import { seenInputCount, TaskFamily, validateTask } from "../src/tasks/family.ts";
import { splitInputs, splitTasks } from "../src/tasks/split.ts";

const config = (task: Partial<TaskConfig>): TaskConfig => taskSchema.parse(task);

const families = fc.record({
  modulus: fc.constantFrom(2, 3, 5, 7, 11),
  variables: fc.integer({ min: 1, max: 3 }),
  constantTerm: fc.boolean(),
});

describe("TaskFamily", () => {
  it("numbers tasks and inputs one to one, in lexicographic order", () => {
    const family = new TaskFamily({ modulus: 3, variables: 2, constantTerm: true });
    expect([family.taskLength, family.taskCount, family.inputCount]).toEqual([3, 27, 9]);
    const tasks = Array.from({ length: 27 }, (_, i) => family.task(i));
    expect(tasks[0]).toEqual([0, 0, 0]);
    expect(tasks[1]).toEqual([0, 0, 1]);
    expect(tasks[26]).toEqual([2, 2, 2]);
    expect(new Set(tasks.map(String)).size).toBe(27);
    tasks.forEach((task, i) => {
      expect(family.taskIndex(task)).toBe(i);
    });
    for (let i = 0; i < 9; i++) expect(family.inputIndex(family.input(i))).toBe(i);
  });

  it("without the zero task starts at the next vector and knows no zero vector", () => {
    const family = new TaskFamily({ modulus: 5, variables: 2, zeroTask: false });
    expect([family.taskCount, family.inputCount]).toEqual([24, 25]);
    const tasks = Array.from({ length: 24 }, (_, i) => family.task(i));
    expect([tasks[0], tasks[23]]).toEqual([
      [0, 1],
      [4, 4],
    ]);
    tasks.forEach((task, i) => {
      expect(family.taskIndex(task)).toBe(i);
    });
    expect(family.input(0)).toEqual([0, 0]);
    expect(() => family.task(24)).toThrow(/task index.*0 to 23.*24/);
    expect(() => family.taskIndex([0, 0])).toThrow(/zero vector.*zeroTask/);
  });

  it("evaluates a.x + c mod p, checked with big integers", () => {
    fc.assert(
      fc.property(families, fc.nat(), fc.nat(), (options, t, u) => {
        const family = new TaskFamily(options);
        const task = family.task(t % family.taskCount);
        const input = family.input(u % family.inputCount);
        let z = options.constantTerm ? BigInt(task[options.variables]) : 0n;
        for (let i = 0; i < options.variables; i++) z += BigInt(task[i]) * BigInt(input[i]);
        expect(family.evaluate(task, input)).toBe(Number(z % BigInt(options.modulus)));
      }),
    );
  });

  it("refuses composite moduli, odd variables and families too large, by name", () => {
    for (const modulus of [1, 4, 9, 15, 25, 841, 2.5]) {
      expect(() => new TaskFamily({ modulus, variables: 1 })).toThrow(
        `task.modulus must be a prime number, got ${modulus}`,
      );
    }
    expect(() => new TaskFamily({ modulus: 3, variables: 0 })).toThrow(/task\.variables.*0/);
    expect(() => new TaskFamily({ modulus: 257, variables: 4 })).toThrow(
      /task\.modulus 257 with task\.variables 4.*4362470401/,
    );
    expect(() => new TaskFamily({ modulus: 64_019, variables: 1, constantTerm: true })).toThrow(
      /constantTerm/,
    );
  });

  it("refuses indices and vectors outside the family", () => {
    const family = new TaskFamily({ modulus: 5, variables: 2 });
    expect(() => family.task(25)).toThrow(/task index.*24.*25/);
    expect(() => family.input(-1)).toThrow(/input index/);
    expect(() => family.taskIndex([1])).toThrow(/task must have 2/);
    expect(() => family.inputIndex([1, 5])).toThrow(/input\[1\].*0\.\.4.*5/);
  });
});

describe("splits", () => {
  it("are disjoint, complete, sorted, of the right size and a function of the seed", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(5, 7),
        fc.integer({ min: 1, max: 2 }),
        // At 0.9 all five inputs would count as seen.
        fc.double({ min: 0.3, max: 0.89, noNaN: true }),
        fc.nat({ max: 0xffffffff }),
        (modulus, variables, share, seed) => {
          const taskCount = modulus ** variables;
          const task = config({
            modulus,
            variables,
            trainTasks: Math.max(1, Math.floor(share * taskCount)),
            inputFraction: share,
            examples: 1,
          });
          const { train, heldOut } = splitTasks(task, seed);
          const { seen, unseen } = splitInputs(task, seed);
          expect(train.length).toBe(task.trainTasks);
          expect(seen.length).toBe(Math.round(share * modulus ** variables));
          for (const [a, b] of [
            [train, heldOut],
            [seen, unseen],
          ]) {
            expect([...a, ...b].sort((x, y) => x - y)).toEqual(
              Array.from({ length: taskCount }, (_, i) => i),
            );
            expect([...a]).toEqual([...a].sort((x, y) => x - y));
            expect([...b]).toEqual([...b].sort((x, y) => x - y));
          }
          expect(splitTasks(task, seed)).toEqual({ train, heldOut });
        },
      ),
      { numRuns: 50 },
    );
  });

  it("choose every task and every input equally often over seeds", () => {
    const task = config({ modulus: 7, variables: 1, trainTasks: 3, inputFraction: 3 / 7, examples: 1 });
    const tasks = new Array<number>(7).fill(0);
    const inputs = new Array<number>(7).fill(0);
    const seeds = 3000;
    for (let seed = 0; seed < seeds; seed++) {
      for (const t of splitTasks(task, seed).train) tasks[t]++;
      for (const u of splitInputs(task, seed).seen) inputs[u]++;
    }
    const sd = Math.sqrt((seeds * 12) / 49);
    for (const n of [...tasks, ...inputs]) expect(Math.abs(n - (seeds * 3) / 7)).toBeLessThan(5 * sd);
  });

  it("see all inputs when inputFraction is 1", () => {
    const { seen, unseen } = splitInputs(config({}), 1);
    expect(seen.length).toBe(23);
    expect(unseen.length).toBe(0);
  });

  it.each([
    [7, 24],
    [29, 512],
    [5, 16],
  ])("rectangular, p = %i, D = %i: a union of disjoint rectangles", (modulus, trainTasks) => {
    const task = config({ modulus, variables: 2, trainTasks, taskSplit: "rectangular", examples: 4 });
    for (let seed = 0; seed < 5; seed++) {
      const { train, heldOut } = splitTasks(task, seed);
      expect(train.length).toBe(trainTasks);
      expect(new Set([...train, ...heldOut]).size).toBe(modulus * modulus);
      const isTrain = new Set(train);
      for (const t of train) {
        const a = Math.floor(t / modulus);
        const b = t % modulus;
        let rectangles = 0;
        for (const u of train) {
          const [a2, b2] = [Math.floor(u / modulus), u % modulus];
          if (a2 !== a && b2 !== b && isTrain.has(a * modulus + b2) && isTrain.has(a2 * modulus + b))
            rectangles++;
        }
        expect(rectangles).toBeGreaterThan(0);
      }
    }
  });

  it("one rectangle: four tasks with two residues in each coordinate", () => {
    const task = config({ modulus: 11, variables: 2, trainTasks: 4, taskSplit: "rectangular", examples: 4 });
    for (let seed = 0; seed < 50; seed++) {
      const { train } = splitTasks(task, seed);
      expect(new Set(Array.from(train, (t) => Math.floor(t / 11))).size).toBe(2);
      expect(new Set(Array.from(train, (t) => t % 11)).size).toBe(2);
    }
  });

  it("rectangular: refuses a grid with no room left", () => {
    const task = config({ modulus: 3, variables: 2, trainTasks: 8, taskSplit: "rectangular", examples: 4 });
    expect(() => splitTasks(task, 0)).toThrow(/task\.trainTasks 8 of 9/);
  });
});

describe("validateTask", () => {
  it("accepts the defaults", () => {
    expect(() => validateTask(config({}))).not.toThrow();
  });

  it.each<[string, Partial<TaskConfig>, RegExp]>([
    ["composite modulus", { modulus: 21 }, /task\.modulus.*prime.*21/],
    ["no unseen task", { modulus: 5, trainTasks: 5, examples: 2 }, /task\.trainTasks.*below the 5.*got 5/],
    [
      "rectangle of one variable",
      { taskSplit: "rectangular", trainTasks: 16 },
      /task\.taskSplit.*variables 1/,
    ],
    [
      "rectangle with a constant",
      { modulus: 5, variables: 2, constantTerm: true, taskSplit: "rectangular", trainTasks: 16 },
      /task\.taskSplit.*constantTerm true/,
    ],
    [
      "rectangle without the zero task",
      { modulus: 5, variables: 2, zeroTask: false, taskSplit: "rectangular", trainTasks: 16 },
      /task\.taskSplit.*zeroTask false/,
    ],
    [
      "no unseen task but zero",
      { modulus: 5, zeroTask: false, trainTasks: 4, examples: 2 },
      /below the 4.*got 4/,
    ],
    [
      "rectangle count",
      { modulus: 5, variables: 2, taskSplit: "rectangular", trainTasks: 18 },
      /task\.trainTasks.*multiple of 4.*18/,
    ],
    ["no seen input", { inputFraction: 0.01 }, /task\.inputFraction 0\.01 makes 0 of 23/],
    ["no unseen input", { inputFraction: 0.99 }, /task\.inputFraction 0\.99 makes 23 of 23/],
    ["too many examples", { examples: 24 }, /task\.examples.*at most 23.*24/],
    ["too few unseen inputs", { inputFraction: 0.9, examples: 3 }, /task\.examples.*at most 2.*2 unseen.*3/],
  ])("refuses: %s", (_, task, message) => {
    expect(() => validateTask(config(task))).toThrow(message);
    expect(() => validateTask(config(task))).toThrow(RangeError);
  });

  it("allows repeated inputs where distinct ones would not do", () => {
    const task = config({ modulus: 5, trainTasks: 3, examples: 12, distinctInputs: false });
    expect(() => validateTask(task)).not.toThrow();
    expect(seenInputCount(task)).toBe(5);
  });
});
