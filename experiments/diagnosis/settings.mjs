/** Settings of runs: which are the same but for the seed, and on which side of the benchmark they stand. */
import { createHash } from "node:crypto";

/** What does not make another setting: how a run is drawn, watched and kept, how long it is, and of how many members. */
const NOT_SETTINGS = /^(seed|math|ensemble\.members|training\.steps|evaluation\.|checkpoints\.)/;

/** `{ "task.modulus": 17, ... }` */
export function settingsOf(config) {
  return Object.fromEntries(entriesOf(config).filter(([key]) => !NOT_SETTINGS.test(key)));
}

function entriesOf(value, path = "") {
  return Object.entries(value)
    .flatMap(([key, inner]) => {
      const name = path ? `${path}.${key}` : key;
      const isSection = typeof inner === "object" && inner !== null && !Array.isArray(inner);
      return isSection ? entriesOf(inner, name) : [[name, inner]];
    })
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The same for the same settings, whatever other runs there are. */
export function splitOf(settings) {
  const digest = createHash("sha256").update(JSON.stringify(settings)).digest();
  return digest[0] % 2 === 0 ? "development" : "test";
}

/** Of each of these settings, what sets it apart from the most frequent one: `task.promptPool=0 seed=3`. */
export function inWords(all) {
  const keys = [...new Set(all.flatMap(Object.keys))];
  const usual = Object.fromEntries(
    keys.map((key) => [key, mostFrequent(all.map((settings) => settings[key]))]),
  );
  return all.map((settings) => {
    const others = keys.filter((key) => JSON.stringify(settings[key]) !== JSON.stringify(usual[key]));
    return others.map((key) => `${key.split(".").at(-1)}=${settings[key] ?? "none"}`).join(" ") || "usual";
  });
}

function mostFrequent(values) {
  const counts = new Map();
  for (const value of values) counts.set(JSON.stringify(value), (counts.get(JSON.stringify(value)) ?? 0) + 1);
  const [text] = [...counts].sort(([, a], [, b]) => b - a)[0];
  return text === undefined ? undefined : JSON.parse(text);
}
