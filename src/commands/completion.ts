/** Completion of what yargs does not know: names of presets, keys of settings and their values. */

/** What a shell asks with, before the words of its command line. */
export const COMPLETION_REQUEST = "--get-yargs-completions";

/**
 * What the last word may become, in place of that word; null where it is no value of --preset, --set or --axis. A key is proposed
 * with its values once it is the only one.
 */
export async function proposalsFor(words: readonly string[]): Promise<string[] | null> {
  const whole = joined(words);
  const last = whole.at(-1) ?? "";
  const assigned = /^(--\w+=)(.*)$/.exec(last);
  const option = assigned ? assigned[1].slice(0, -1) : whole.at(-2);
  const typed = assigned ? assigned[2] : last;
  const values = await VALUES[option ?? ""]?.(typed);
  if (!values || (!assigned && typed.startsWith("-"))) return null;
  // The part before what the shell takes for the word it completes is there already.
  const skipped = last.length - (words.at(-1) ?? "").length;
  return values
    .filter((value) => value.startsWith(typed))
    .map((value) => ((assigned?.[1] ?? "") + value).slice(skipped));
}

/** By option, what its value may be. */
const VALUES: Record<string, (typed: string) => Promise<string[]>> = {
  "--preset": async () => (await import("../config/presets.ts")).presetNames(),
  "--set": assignments,
  "--axis": assignments,
  "--math": async () => (await settings()).find(({ name }) => name === "math")?.suggestions ?? [],
};

async function settings() {
  const { configKeys } = await import("../config/keys.ts");
  return configKeys().filter(({ section }) => !section);
}

/** bash makes words of their own of "=" and what stands on both sides of it. */
function joined(words: readonly string[]): string[] {
  const whole: string[] = [];
  for (const [i, word] of words.entries()) {
    const follows = word === "=" || words[i - 1] === "=";
    if (follows && whole.length > 0) whole.push(whole.pop() + word);
    else whole.push(word);
  }
  return whole;
}

async function assignments(typed: string): Promise<string[]> {
  const fitting = (await settings()).filter(
    ({ name }) => `${name}=`.startsWith(typed) || typed.startsWith(`${name}=`),
  );
  if (fitting.length !== 1) return fitting.map(({ name }) => `${name}=`);
  const [{ name, suggestions }] = fitting;
  return suggestions.length > 0 ? suggestions.map((value) => `${name}=${value}`) : [`${name}=`];
}
