/** Evaluations as lines of JSON, from a training loop elsewhere. */
import { messageOf } from "../errors.ts";
import { refuse, requireKeys } from "../validate.ts";
import type { NumberArray } from "./arrays.ts";
import type { Evaluation, Labelled } from "./diagnose.ts";

const KEYS = ["step", "predictions", "cycle", "cycleLabels", "seen", "seenLabels", "unseenLabels"];

/**
 * An evaluation from `{"step": 100, "predictions": [[[...]]]}`, members by prompts by classes, with `cycle` and `seen` of
 * the same form and `cycleLabels` and `seenLabels`, or `unseenLabels`, if there are any.
 *
 * @throws RangeError for what is none, naming the first part of an array that is not as long as those before it
 */
export function parseEvaluation(line: string): Evaluation {
  const value = parseObject(line);
  requireKeys("a line", value, KEYS);
  const { step, predictions, unseenLabels } = value;
  if (typeof step !== "number") refuse("step", step, "a number");
  const labelled = (name: "cycle" | "seen"): Labelled | undefined => {
    const [own, labels] = [value[name], value[`${name}Labels`]];
    if ((own === undefined) !== (labels === undefined))
      refuse("keys", Object.keys(value).join(", "), `with ${name} and ${name}Labels, or without both`);
    if (own === undefined) return undefined;
    return { predictions: nestedArray(name, own), labels: labelsOf(`${name}Labels`, labels) };
  };
  const [cycle, seen] = [labelled("cycle"), labelled("seen")];
  return {
    step,
    predictions: nestedArray("predictions", predictions),
    ...(cycle && { cycle }),
    ...(seen && { seen }),
    ...(unseenLabels !== undefined && { labels: labelsOf("unseenLabels", unseenLabels) }),
  };
}

function parseObject(line: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line.replace(/^\ufeff/, ""));
  } catch (error) {
    throw new RangeError(`not JSON: ${messageOf(error)}`);
  }
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : refuse(
        "a line",
        typeof value === "object" ? JSON.stringify(value).slice(0, 60) : value,
        "a JSON object",
      );
}

function labelsOf(name: string, value: unknown): number[] {
  if (!Array.isArray(value)) refuse(name, value, "a list of classes");
  value.forEach((label, i) => {
    // null would count as class 0.
    if (typeof label !== "number") refuse(`${name}[${i}]`, label, "a class");
  });
  return value;
}

const AXES = ["members", "prompts", "classes"];

/** Lists in lists as an array of three dimensions. */
function nestedArray(name: string, value: unknown): NumberArray {
  const shape: number[] = [];
  for (let level = value; Array.isArray(level); level = level[0]) {
    if (shape.length === AXES.length) refuse(name, "more lists in lists", AXES.join(" x "));
    shape.push(level.length);
  }
  // Grows with what is there: a first list may say more than the others have.
  const data: number[] = [];
  const fill = (part: unknown, axis: number, at: string): void => {
    if (axis === shape.length) {
      if (typeof part !== "number") refuse(at, part, "a number");
      data.push(part);
      return;
    }
    if (!Array.isArray(part) || part.length !== shape[axis])
      refuse(at, part, `a list of ${shape[axis]}, as the first one is`);
    part.forEach((entry, i) => {
      fill(entry, axis + 1, `${at}[${i}]`);
    });
  };
  fill(value, 0, name);
  return { shape, data: Float64Array.from(data) };
}
