/**
 * Prompts that a user writes: one a line, as JSON or as comma-separated values. A prompt is the tokens x1..xv z, repeated,
 * up to the inputs of the z that is asked for.
 */
import { messageOf, UsageError } from "../errors.ts";
import { refuse, requireKeys, requireWhole } from "../validate.ts";
import { promptLength } from "./batch.ts";
import type { TaskConfig } from "./settings.ts";

export type PromptFormat = "jsonl" | "csv";

export interface WrittenPrompt {
  /** Where it was written, from 1. */
  line: number;
  /** (T), residues; ends with the inputs of the last question. */
  tokens: Int32Array;
}

type Layout = Pick<TaskConfig, "modulus" | "variables" | "examples">;

/**
 * Lines of JSON are `[x, z, x, ...]`, `{"tokens": [...]}`, or `{"x": [...], "z": [...]}`, where an x is a number or, of
 * several variables, the list of them. Comma-separated lines hold the tokens; a header may name the columns x and z. The
 * z of the last inputs may be given, and is left out. Empty lines are skipped.
 *
 * @param source for messages
 * @throws UsageError naming the source, the line, and what is not allowed there
 */
export function parsePrompts(
  text: string,
  format: PromptFormat,
  layout: Layout,
  source: string,
): WrittenPrompt[] {
  const read = format === "csv" ? csvReader(layout) : jsonTokens;
  return text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .flatMap((written, i): WrittenPrompt[] => {
      if (written.trim() === "") return [];
      const line = i + 1;
      try {
        const tokens = read(written, layout);
        return tokens === null ? [] : [{ line, tokens: question(tokens, layout) }];
      } catch (error) {
        throw new UsageError(`${source}:${line}: ${messageOf(error)}`);
      }
    });
}

/** The tokens up to the last inputs. */
function question(tokens: readonly unknown[], { modulus, variables, examples }: Layout): Int32Array {
  const period = variables + 1;
  const complete = tokens.length > 0 && tokens.length % period === 0;
  const length = complete ? tokens.length - 1 : tokens.length;
  const longest = promptLength(variables, examples);
  if (length % period !== variables || length > longest)
    refuse(
      "number of tokens",
      tokens.length,
      `at most ${longest}, ${variables} for each x and 1 for each z between them, ending with an x`,
    );
  tokens.forEach((token, i) => {
    requireWhole(`token ${i + 1}`, token as number, modulus - 1);
  });
  return Int32Array.from(tokens.slice(0, length) as number[]);
}

function jsonTokens(written: string, { variables }: Layout): unknown[] {
  const value: unknown = JSON.parse(written);
  if (Array.isArray(value)) return value;
  const { tokens, x, z } = (value ?? {}) as Record<string, unknown>;
  if (Array.isArray(tokens)) {
    requireKeys("the prompt", value as object, ["tokens"]);
    return tokens;
  }
  if (!Array.isArray(x) || !Array.isArray(z))
    return refuse(
      "the prompt",
      typeof value === "object" && value !== null ? written.slice(0, 60) : value,
      "a list, or an object with tokens, or with x and z",
    );
  requireKeys("the prompt", value as object, ["x", "z"]);
  if (z.length !== x.length && z.length !== x.length - 1)
    refuse("number of z", z.length, `${x.length - 1}, one less than there are x, or as many`);
  return x.flatMap((inputs: unknown, k) => [...inputsOf(inputs, k, variables), ...z.slice(k, k + 1)]);
}

function inputsOf(inputs: unknown, k: number, variables: number): unknown[] {
  if (!Array.isArray(inputs) && variables === 1) return [inputs];
  if (Array.isArray(inputs) && inputs.length === variables) return inputs;
  const given = typeof inputs === "object" ? JSON.stringify(inputs) : inputs;
  return refuse(`x ${k + 1}`, given, `a list of ${variables}, one for each variable`);
}

/** null for the header, which may be the first line. */
function csvReader({ variables }: Layout): (written: string) => unknown[] | null {
  let first = true;
  return (written) => {
    const cells = written.split(",").map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
    // A spreadsheet fills shorter lines up.
    while (cells.at(-1) === "") cells.pop();
    const header = first && cells.some((cell) => /^[a-z]/i.test(cell));
    first = false;
    if (header) {
      requireColumns(cells, variables);
      return null;
    }
    return cells.map((cell) => (/^\d+$/.test(cell) ? Number(cell) : cell || "nothing"));
  };
}

/** Columns in another order than that of the tokens would be another prompt. */
function requireColumns(names: readonly string[], variables: number): void {
  if (names.every((name) => /^t(oken)?[\W_]*\d*$/i.test(name))) return;
  const period = [...Array<string>(variables).fill("x"), "z"];
  names.forEach((name, i) => {
    const wanted = period[i % period.length];
    if (!name.toLowerCase().startsWith(wanted))
      refuse(`column ${i + 1}`, name, `named ${wanted}: columns go ${period.join(", ")}, and so on`);
  });
}
