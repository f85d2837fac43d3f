/** The words of a command line, before and after yargs has made something of them. */
import { UsageError } from "../errors.ts";

/**
 * What yargs is given. An empty word is refused: an unset shell variable leaves it, and 0, or the working directory,
 * would come of it. Of the words after `--` yargs gives a command nothing, so they are put in as the paths they are.
 *
 * @throws UsageError for an empty value or argument
 */
export function commandWords(words: readonly string[]): string[] {
  for (const [i, word] of words.entries()) {
    const empty = word.trim() === "";
    const option =
      /^(--?[^=]+)=\s*$/.exec(word)?.[1] ?? (empty ? /^-[^=]*$/.exec(words[i - 1])?.[0] : undefined);
    if (empty || option !== undefined)
      throw new UsageError(`${option ?? "an argument"}: got an empty value; is a shell variable unset?`);
  }
  const end = words.indexOf("--");
  if (end < 0) return [...words];
  const paths = words.slice(end + 1).map((path) => (path.startsWith("-") ? `./${path}` : path));
  return [...words.slice(0, end), ...paths];
}

/** Options and positionals that take several values. */
const LISTS = ["_", "set", "run", "dirs", "files", "axis", "exclude", "runs", "sbatch-arg", "sbatchArg"];

/** Given twice, a flag for one value becomes a list. */
export function refuseRepeated(args: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(args))
    if (Array.isArray(value) && !LISTS.includes(name))
      throw new UsageError(`--${name} is given more than once`);
}

/** yargs makes NaN of a text in the place of a number. @param numbers names of the options that take one */
export function refuseMistakenNumbers(words: readonly string[], numbers: readonly string[]): void {
  for (const [i, word] of words.entries()) {
    const [, name, joined] = /^--?([^=]+)(?:=(.*))?$/s.exec(word) ?? [];
    const value = joined ?? words[i + 1];
    if (numbers.includes(name) && value !== undefined && Number.isNaN(Number(value)))
      throw new UsageError(`--${name}: got "${value}", must be a number`);
  }
}

/**
 * `--no-` before anything but a switch would make the value false, and so would a value of a switch that is not `true`.
 * @param switches names of the options that are there or not
 */
export function refuseMistakenSwitches(words: readonly string[], switches: readonly string[]): void {
  for (const word of words) {
    const negated = /^--no-([^=]+)/.exec(word)?.[1];
    if (negated !== undefined && !switches.includes(negated))
      throw new UsageError(`unknown option --no-${negated}: --${negated} is no switch`);
    const [, name, value] = /^--?([^=]+)=(.*)$/s.exec(word) ?? [];
    if (switches.includes(name) && !["true", "false"].includes(value))
      throw new UsageError(`--${name}: got "${value}", must be true or false, or nothing`);
  }
}
