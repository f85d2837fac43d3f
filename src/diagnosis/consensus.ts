/**
 * How often an ensemble is right, from its members' answers alone: the one-coin model of Dawid and Skene (1979), with
 * prompts that nobody can answer. On other prompts each member is right with a probability of its own, its skill, and
 * else gives any of the other answers; on those every answer is a guess. Right answers, skills and the share of such
 * prompts follow by expectation maximisation. So two of many members that agree on what cannot be chance are believed
 * against the others, where the share of agreeing pairs only says that most differ.
 *
 * What it cannot know: members that are wrong in the same way look right.
 */

/** As certain as a member may be of being right. */
const SUREST = 1 - 1e-6;
/** Of the share of open prompts: at the start, and at most and at least. */
const OPEN = { first: 0.1, most: 0.99, least: 1e-4 };
const TOLERANCE = 1e-6;
const MOST_ROUNDS = 300;

interface Model {
  /** Of each member. */
  skill: number[];
  /** Share of prompts that nobody can answer. */
  open: number;
}

/** Which members agree with which: all that is known of a prompt, and the same on many. */
interface Pattern {
  /** Of each member: the first member that gives the same answer. */
  camps: number[];
  /** On how many prompts. */
  prompts: number;
}

/**
 * Expected share of prompts on which `answers` are right.
 *
 * @param votes of each member, (B): its most probable class
 * @param answers (B), those of the ensemble
 * @param classes C
 */
export function consensusAccuracy(
  votes: readonly Int32Array[],
  answers: Int32Array,
  classes: number,
): number {
  const prompts = answers.length;
  const patterns = new Map<string, Pattern>();
  const patternOf = Array.from(answers, (_, b) => {
    const camps = votes.map((own) => votes.findIndex((other) => other[b] === own[b]));
    const key = camps.join();
    const pattern = patterns.get(key) ?? { camps, prompts: 0 };
    pattern.prompts++;
    patterns.set(key, pattern);
    return pattern;
  });
  const model = fitted([...patterns.values()], prompts, classes);
  const beliefs = new Map([...patterns.values()].map((each) => [each, beliefOn(each, model, classes)]));
  let sum = 0;
  for (const [b, pattern] of patternOf.entries()) {
    const { right, open } = beliefs.get(pattern)!;
    const camp = votes.findIndex((own) => own[b] === answers[b]);
    sum += (camp < 0 ? 0 : right[camp]) + open / classes;
  }
  // Rounding.
  return Math.min(1, sum / prompts);
}

function fitted(patterns: readonly Pattern[], prompts: number, classes: number): Model {
  // Half-way between chance and certainty.
  let model: Model = { skill: patterns[0].camps.map(() => (1 + 1 / classes) / 2), open: OPEN.first };
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const right = model.skill.map(() => 0);
    let open = 0;
    for (const pattern of patterns) {
      const belief = beliefOn(pattern, model, classes);
      for (const [m, camp] of pattern.camps.entries()) right[m] += pattern.prompts * belief.right[camp];
      open += pattern.prompts * belief.open;
    }
    const answerable = Math.max(prompts - open, Number.MIN_VALUE);
    const next: Model = {
      // Nobody is worse than chance.
      skill: right.map((sum) => within(1 / classes, SUREST, sum / answerable)),
      open: within(OPEN.least, OPEN.most, open / prompts),
    };
    const changes = next.skill.map((value, m) => Math.abs(value - model.skill[m]));
    const change = Math.max(...changes, Math.abs(next.open - model.open));
    model = next;
    if (change < TOLERANCE) break;
  }
  return model;
}

const within = (least: number, most: number, value: number) => Math.min(most, Math.max(least, value));

interface Belief {
  /** That the prompt can be answered, and by this camp's answer; by the camp's first member. */
  right: number[];
  /** That nobody can answer it. */
  open: number;
}

function beliefOn({ camps }: Pattern, { skill, open }: Model, classes: number): Belief {
  const wrong = skill.map((a) => Math.log((1 - a) / (classes - 1)));
  const each = Math.log((1 - open) / classes) + wrong.reduce((sum, log) => sum + log, 0);
  const logs = camps.map((camp, m) => (camp === m ? each : -Infinity));
  for (const [m, camp] of camps.entries()) logs[camp] += Math.log(skill[m]) - wrong[m];
  const others = classes - new Set(camps).size;
  const ofOthers = others > 0 ? each + Math.log(others) : -Infinity;
  const ofOpen = Math.log(open) - camps.length * Math.log(classes);
  const largest = Math.max(ofOthers, ofOpen, ...logs);
  const right = logs.map((log) => Math.exp(log - largest));
  const openWeight = Math.exp(ofOpen - largest);
  const total = right.reduce((sum, weight) => sum + weight, Math.exp(ofOthers - largest) + openWeight);
  return { right: right.map((weight) => weight / total), open: openWeight / total };
}
