import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FAMILY_NAMES } from "../src/tasks/families/index.ts";
import { type FamilyOptions, seenInputCount, TaskFamily } from "../src/tasks/family.ts";
import { type TaskConfig, taskSchema } from "../src/tasks/settings.ts";
import { splitInputs, splitTasks } from "../src/tasks/split.ts";
import { validateTask } from "../src/tasks/validate.ts";
import { FRESH } from "./fixtures/config.ts";
import { outputOf, REFERENCE_FAMILIES, taskLengthOf } from "./reference/families.ts";

const config = (task: Partial<TaskConfig>): TaskConfig => taskSchema.parse({ ...FRESH.task, ...task });

const families = fc
  .record({
    family: fc.constantFrom(...FAMILY_NAMES),
    modulus: fc.constantFrom(2, 3, 5, 7),
    variables: fc.integer({ min: 1, max: 3 }),
    constantTerm: fc.boolean(),
    zeroTask: fc.boolean(),
  })
  .filter(({ family, variables }) => variables >= REFERENCE_FAMILIES[family].fewestVariables);

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
    expect(() => family.task(24)).toThrow(/task index: got 24, must be an integer from 0 to 23/);
    expect(() => family.taskIndex([0, 0])).toThrow(
      /task: got 0,0, must be another vector than zero with zeroTask false/,
    );
  });

  it("evaluates every task at every input as the families written out do, and counts them", () => {
    fc.assert(
      fc.property(families, fc.nat(), (options, u) => {
        const family = new TaskFamily(options);
        const { taskLength, taskCount, firstTask } = family;
        expect(taskLength).toBe(taskLengthOf(options));
        expect(taskCount).toBe(options.modulus ** taskLength - (options.zeroTask ? 0 : 1));
        const input = family.input(u % family.inputCount);
        const outputs = new Int32Array(options.modulus ** taskLength).fill(-1);
        family.outputsAt(input, outputs);
        expect(outputs[0]).toBe(0);
        const evaluate = family.evaluateAt(input);
        const every = Math.max(1, Math.floor(taskCount / 500));
        for (let index = 0; index < taskCount; index += every) {
          const task = family.task(index);
          const z = outputOf(options, task, input);
          expect([family.evaluate(task, input), evaluate(task), outputs[index + firstTask]]).toEqual([
            z,
            z,
            z,
          ]);
        }
      }),
      { numRuns: 150 },
    );
  });

  it("does so for large residues, whose products need more than 32 bits", () => {
    for (const family of FAMILY_NAMES) {
      const shape = { family, modulus: 251, variables: 2, constantTerm: false };
      expect(new TaskFamily(shape).evaluate([250, 249, 248], [250, 249])).toBe(
        outputOf(shape, [250, 249, 248].slice(0, taskLengthOf(shape)), [250, 249]),
      );
    }
    const shape = { family: "linear", modulus: 16_777_213, variables: 1, constantTerm: false } as const;
    expect(new TaskFamily(shape).evaluate([16_777_212], [16_777_211])).toBe(
      outputOf(shape, [16_777_212], [16_777_211]),
    );
  });

  it("says what its tasks compute", () => {
    const formula = (options: FamilyOptions) => new TaskFamily(options).formula;
    expect(formula({ modulus: 23, variables: 1 })).toBe("z = a x mod 23");
    expect(formula({ modulus: 7, variables: 2, constantTerm: true })).toBe("z = a1 x1 + a2 x2 + c mod 7");
    expect(formula({ family: "bilinear", modulus: 7, variables: 2 })).toBe(
      "z = a1 x1 + a2 x2 + a12 x1 x2 mod 7",
    );
    expect(formula({ family: "bilinear", modulus: 5, variables: 3, constantTerm: true })).toBe(
      "z = a1 x1 + a2 x2 + a3 x3 + a12 x1 x2 + a13 x1 x3 + a23 x2 x3 + c mod 5",
    );
  });

  it("refuses composite moduli, odd variables and families too large, by name", () => {
    for (const modulus of [1, 4, 9, 15, 25, 841, 2.5]) {
      expect(() => new TaskFamily({ modulus, variables: 1 })).toThrow(
        `task.modulus: got ${modulus}, must be a prime number`,
      );
    }
    expect(() => new TaskFamily({ modulus: 3, variables: 0 })).toThrow(
      /^task\.variables: got 0, must be a positive integer$/,
    );
    expect(() => new TaskFamily({ modulus: 257, variables: 4 })).toThrow(
      /^task\.modulus: got 257, must be at most 64 for tasks of 4 coefficients.*4362470401/,
    );
    expect(() => new TaskFamily({ modulus: 64_019, variables: 1, constantTerm: true })).toThrow(
      /at most 4096 for tasks of 2 coefficients/,
    );
  });

  it("refuses indices and vectors outside the family", () => {
    const family = new TaskFamily({ modulus: 5, variables: 2 });
    expect(() => family.task(25)).toThrow(/task index: got 25, must be an integer from 0 to 24/);
    expect(() => family.input(-1)).toThrow(/input index: got -1, must be an integer from 0 to 24/);
    expect(() => family.taskIndex([1])).toThrow(/length of task: got 1, must be 2/);
    expect(() => family.inputIndex([1, 5])).toThrow(/input\[1\]: got 5, must be an integer from 0 to 4/);
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
    expect(() => splitTasks(task, 0)).toThrow(
      /^task\.trainTasks: got 8, must be lower, or task\.taskSplit uniform: 9 tasks/,
    );
  });
});

describe("validateTask", () => {
  it("accepts the defaults", () => {
    expect(() => validateTask(config({}))).not.toThrow();
  });

  it.each<[string, Partial<TaskConfig>, RegExp]>([
    ["composite modulus", { modulus: 21 }, /^task\.modulus: got 21, must be a prime/],
    [
      "products of one variable",
      { family: "bilinear", variables: 1 },
      /^task\.variables: got 1, must be at least 2 with task\.family bilinear/,
    ],
    [
      "too many products",
      { family: "bilinear", modulus: 7, variables: 4 },
      /^task\.modulus: got 7, must be at most 5 for tasks of 10 coefficients: all 282475249 tasks/,
    ],
    [
      "rectangle of three coefficients",
      { family: "bilinear", modulus: 5, variables: 2, taskSplit: "rectangular", trainTasks: 16 },
      /^task\.taskSplit: got rectangular, must be uniform.*a task of this family has 3/,
    ],
    [
      "all tasks with products",
      { family: "bilinear", modulus: 3, variables: 2, trainTasks: 27, examples: 2 },
      /^task\.trainTasks: got 27, must be below the 27 tasks/,
    ],
    [
      "no unseen task",
      { modulus: 5, trainTasks: 5, examples: 2 },
      /^task\.trainTasks: got 5, must be below the 5 tasks/,
    ],
    [
      "rectangle of one variable",
      { taskSplit: "rectangular", trainTasks: 16 },
      /^task\.taskSplit: got rectangular, must be uniform unless.*a task of this family has 1/,
    ],
    [
      "rectangle with a constant",
      { modulus: 5, variables: 2, constantTerm: true, taskSplit: "rectangular", trainTasks: 16 },
      /^task\.taskSplit: got rectangular, must be uniform.*no task\.constantTerm/,
    ],
    [
      "rectangle without the zero task",
      { modulus: 5, variables: 2, zeroTask: false, taskSplit: "rectangular", trainTasks: 16 },
      /^task\.taskSplit: got rectangular, must be uniform.*with task\.zeroTask/,
    ],
    [
      "no unseen task but zero",
      { modulus: 5, zeroTask: false, trainTasks: 4, examples: 2 },
      /^task\.trainTasks: got 4, must be below the 4 tasks/,
    ],
    [
      "rectangle count",
      { modulus: 5, variables: 2, taskSplit: "rectangular", trainTasks: 18 },
      /^task\.trainTasks: got 18, must be a multiple of 4/,
    ],
    [
      "no seen input",
      { inputFraction: 0.01 },
      /^task\.inputFraction: got 0\.01, must be such that at least one.*makes 0 of 23/,
    ],
    [
      "no unseen input",
      { inputFraction: 0.99 },
      /^task\.inputFraction: got 0\.99, must be such that.*at least one unseen.*makes 23 of 23/,
    ],
    ["too many examples", { examples: 24 }, /^task\.examples: got 24, must be at most 23/],
    [
      "too few unseen inputs",
      { inputFraction: 0.9, examples: 3 },
      /^task\.examples: got 3, must be at most 2.*2 unseen/,
    ],
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
