/**
 * The answer table: tasks x queries, one fixed prompt a cell, of which only the last answer is asked. It shows cell by
 * cell what a member has learnt. With one variable the queries are all inputs; with several they are directions, one
 * input standing for all its multiples, since the answer to one gives those to the others. Large families are sampled
 * evenly, so that a table stays small enough to be asked at every evaluation.
 *
 * With a prompt pool there is a second prompt for every cell of which the pool has one: what is trained, beside what the
 * member has to infer. The table takes no prompt away from training.
 */
import type { Batch } from "../core/batch.ts";
import { type RandomGenerator, stream } from "../random.ts";
import { emptyBatch, promptLength } from "./batch.ts";
import { TaskFamily } from "./family.ts";
import { drawPromptPool, type PromptPool, promptKey } from "./prompt-pool.ts";
import { PromptSource } from "./prompt-source.ts";
import type { TaskConfig } from "./settings.ts";
import { splitInputs, splitTasks } from "./split.ts";

const MAX_TASKS = 48;
const MAX_QUERIES = 32;

/** Contexts tried for a cell until one is not in the pool and leaves a single answer. */
const ATTEMPTS = 100;

/** Vectors of task coefficients up to which a context is asked whether it leaves a single answer. */
const MAX_HYPOTHESES = 4096;

/** What the rows and columns of a table stand for. */
export interface AnswerAxes {
  /** Family indices of the rows: `seenTasks` tasks of training, then others, each in ascending order. */
  tasks: Int32Array;
  seenTasks: number;
  /** Input indices of the columns: `seenInputs` inputs of training, then others. */
  inputs: Int32Array;
  seenInputs: number;
}

export interface AnswerTable extends AnswerAxes {
  /** All prompts, those of the pool last; contexts without noise, but as in training in those of the pool. */
  batch: Batch;
  /** Which cell each prompt belongs to: task x queries + query. */
  cells: Int32Array;
  /** How many of the prompts are of the pool. */
  pooled: number;
}

/** The most prompts a table of these settings can have: what it costs at most. */
export function answerTableSize(task: TaskConfig): number {
  const family = new TaskFamily(task);
  const cells = Math.min(MAX_TASKS, family.taskCount) * Math.min(MAX_QUERIES, family.inputCount);
  return cells * (task.promptPool === 0 ? 1 : 2);
}

/**
 * The table of a configuration, a function of (task, seed, probePrompts) alone. The contexts of unseen queries are unseen
 * inputs too, as in the probe sets.
 *
 * @param probePrompts evaluation.prompts, on which the pool depends
 * @throws RangeError for an invalid task configuration
 */
export function drawAnswerTable(task: TaskConfig, seed: number, probePrompts: number): AnswerTable {
  const family = new TaskFamily(task);
  const pool = drawPromptPool(task, seed, probePrompts);
  const axes = chooseAxes(task, family, seed);
  const prompts = [
    ...drawFresh(task, family, axes, pool, seed),
    ...(pool ? findPooled(family, axes, pool) : []),
  ];
  const length = promptLength(task.variables, task.examples);
  const batch = emptyBatch(prompts.length, length, Int32Array.of(length - 1));
  prompts.forEach(({ tokens, target }, b) => {
    batch.tokens.set(tokens, b * length);
    batch.targets[b] = target;
  });
  return {
    ...axes,
    batch,
    cells: Int32Array.from(prompts, ({ cell }) => cell),
    pooled: prompts.filter(({ pooled }) => pooled).length,
  };
}

interface CellPrompt {
  cell: number;
  tokens: Int32Array;
  target: number;
  pooled: boolean;
}

function chooseAxes(task: TaskConfig, family: TaskFamily, seed: number): AnswerAxes {
  const tasks = splitTasks(task, seed);
  const inputs = splitInputs(task, seed);
  const rows = shareOut(tasks.train, tasks.heldOut, MAX_TASKS);
  const columns = shareOut(onePerQuery(inputs.seen, family), onePerQuery(inputs.unseen, family), MAX_QUERIES);
  return {
    tasks: Int32Array.from(rows.flat()),
    seenTasks: rows[0].length,
    inputs: Int32Array.from(columns.flat()),
    seenInputs: columns[0].length,
  };
}

/** All of both, or evenly spaced ones in proportion, `atMost` together and one of each at least. */
function shareOut(first: ArrayLike<number>, second: ArrayLike<number>, atMost: number): number[][] {
  const all = first.length + second.length;
  if (all <= atMost) return [Array.from(first), Array.from(second)];
  const least = Math.min(1, second.length);
  const size = Math.min(atMost - least, Math.max(1, Math.round((atMost * first.length) / all)));
  return [
    evenly(first, Math.min(size, first.length)),
    evenly(second, Math.min(atMost - size, second.length)),
  ];
}

function evenly(values: ArrayLike<number>, count: number): number[] {
  return Array.from({ length: count }, (_, i) => values[Math.floor(((i + 0.5) * values.length) / count)]);
}

/** The first input of each query. */
function onePerQuery(inputs: Int32Array, family: TaskFamily): number[] {
  const found = new Map<number, number>();
  for (const input of inputs) {
    const query = queryOf(input, family);
    if (!found.has(query)) found.set(query, input);
  }
  return [...found.values()].sort((a, b) => a - b);
}

/** With several variables, the multiple whose first coordinate other than 0 is 1. The zero input is its own. */
function queryOf(input: number, family: TaskFamily): number {
  const { modulus, variables } = family;
  const digits = family.input(input);
  const leading = digits.find((digit) => digit !== 0);
  if (variables === 1 || leading === undefined) return input;
  for (let factor = 1; ; factor++)
    if ((factor * leading) % modulus === 1)
      return family.inputIndex(digits.map((digit) => (factor * digit) % modulus));
}

/** One prompt a cell; none for a cell whose every context that was tried is in the pool. */
function drawFresh(
  task: TaskConfig,
  family: TaskFamily,
  { tasks, inputs, seenInputs }: AnswerAxes,
  pool: PromptPool | null,
  seed: number,
): CellPrompt[] {
  const split = splitInputs(task, seed);
  const [seen, unseen] = [split.seen, split.unseen].map((from) => {
    const { examples, distinctInputs } = task;
    return new PromptSource({
      family,
      tasks,
      inputs: from,
      examples,
      distinctInputs,
      noise: 0,
      noisyLast: false,
    });
  });
  const trained = new Set(pool ? promptKeys(pool) : []);
  const determined = answerTest(family);
  const rng = stream(seed, 0, "answerTable");
  return Array.from({ length: tasks.length * inputs.length }, (_, cell): CellPrompt | null => {
    const row = Math.floor(cell / inputs.length);
    const column = cell % inputs.length;
    const source = column < seenInputs ? seen : unseen;
    let found: CellPrompt | null = null;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      drawContext(source, rng, inputs[column], task.distinctInputs);
      source.answer(rng, row);
      if (trained.has(promptKey(source.task, source.inputs))) continue;
      const single = determined(source.task, source.inputs);
      if (!found || single) found = promptOf(source, cell, task);
      if (single) break;
    }
    return found;
  }).filter((prompt) => prompt !== null);
}

/** Inputs of a prompt that ends in the query. */
function drawContext(source: PromptSource, rng: RandomGenerator, query: number, distinct: boolean): void {
  source.drawInputs(rng);
  const { inputs } = source;
  const last = inputs.length - 1;
  const place = distinct ? inputs.indexOf(query) : -1;
  if (place >= 0) inputs[place] = inputs[last];
  inputs[last] = query;
}

function promptOf(source: PromptSource, cell: number, { variables, examples }: TaskConfig): CellPrompt {
  const tokens = new Int32Array(promptLength(variables, examples));
  source.writeTokens(tokens, 0);
  return { cell, tokens, target: source.clean[examples - 1], pooled: false };
}

/** Whether all tasks that fit the context answer the last input alike; taken to be so in large families. */
function answerTest(family: TaskFamily): (task: number, inputs: Int32Array) => boolean {
  const { modulus, taskLength, firstTask } = family;
  const size = modulus ** taskLength;
  const tables = new Map<number, Int32Array>();
  const answersTo = (input: number) => {
    const known = tables.get(input) ?? new Int32Array(size);
    if (!tables.has(input)) family.outputsAt(family.input(input), known);
    tables.set(input, known);
    return known;
  };
  if (size > MAX_HYPOTHESES) return () => true;
  return (task, inputs) => {
    const answers = Array.from(inputs, answersTo);
    const asked = answers.pop()!;
    const own = task + firstTask;
    for (let other = firstTask; other < size; other++)
      if (asked[other] !== asked[own] && answers.every((of) => of[other] === of[own])) return false;
    return true;
  };
}

/** The first prompt of the pool for each cell that leaves one answer, or else the first. */
function findPooled(
  family: TaskFamily,
  { tasks, inputs, seenInputs }: AnswerAxes,
  pool: PromptPool,
): CellPrompt[] {
  const { batch } = pool;
  const examples = batch.positions.length;
  const rows = new Map(Array.from(tasks, (task, row) => [task, row]));
  const queries = Array.from(inputs.subarray(0, seenInputs), (input) => queryOf(input, family));
  const columns = new Map(queries.map((query, column) => [query, column]));
  const determined = answerTest(family);
  const found = new Map<number, CellPrompt & { single: boolean }>();
  for (let b = 0; b < batch.batchSize; b++) {
    const last = (b + 1) * examples - 1;
    const row = rows.get(pool.tasks[b]);
    const column = columns.get(queryOf(pool.inputs[last], family));
    if (row === undefined || column === undefined) continue;
    const cell = row * inputs.length + column;
    const earlier = found.get(cell);
    if (earlier?.single) continue;
    const single = determined(pool.tasks[b], pool.inputs.subarray(b * examples, last + 1));
    if (earlier && !single) continue;
    const tokens = batch.tokens.slice(b * batch.length, (b + 1) * batch.length);
    found.set(cell, { cell, tokens, target: batch.targets[last], pooled: true, single });
  }
  return [...found.values()].sort((a, b) => a.cell - b.cell);
}

function promptKeys({ tasks, inputs, batch }: PromptPool): string[] {
  const examples = batch.positions.length;
  return Array.from(tasks, (task, b) => promptKey(task, inputs.subarray(b * examples, (b + 1) * examples)));
}
