/** Evaluations as lines of JSON, from a training loop elsewhere. */
import { messageOf } from "../errors.ts";
import { refuse, requireKeys } from "../validate.ts";
import type { NumberArray } from "./arrays.ts";
import type { Evaluation } from "./diagnose.ts";

/**
 * An evaluation from `{"step": 100, "predictions": [[[...]]]}`, members by prompts by classes, with `seen` of the same
 * form and `seenLabels`, or `unseenLabels`, if there are any.
 *
 * @throws RangeError for what is none, naming the first part of an array that is not as long as those before it
 */
export function parseEvaluation(line: string): Evaluation {
  const value = parseObject(line);
  requireKeys("a line", value, ["step", "predictions", "seen", "seenLabels", "unseenLabels"]);
  const { step, predictions, seen, seenLabels, unseenLabels } = value;
  if (typeof step !== "number") refuse("step", step, "a number");
  if ((seen === undefined) !== (seenLabels === undefined))
    refuse("keys", Object.keys(value).join(", "), "with seen and seenLabels, or without both");
  return {
    step,
    predictions: nestedArray("predictions", predictions),
    ...(seen !== undefined && {
      seen: { predictions: nestedArray("seen", seen), labels: labelsOf("seenLabels", seenLabels) },
    }),
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
