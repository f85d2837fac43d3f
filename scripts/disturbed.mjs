/** For programs that disturb runs: chance that follows from a seed, and what a disturbed run has in common with others. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, sep } from "node:path";
import { decodeSafetensors } from "../dist/safetensors.js";

/** Mulberry32. @returns a function that gives numbers from 0 to 1, without 1 */
export function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Of a member's state, what training goes on from. Which of its evaluations wait for those of other members depends on who
 * was ahead of whom.
 */
function trained(data) {
  const { metadata, tensors } = decodeSafetensors(data);
  const state = ["parameters", "firstMoment", "secondMoment"].map((name) =>
    Buffer.from(tensors.get(name).data.buffer),
  );
  return Buffer.concat([Buffer.from(`${metadata.member} ${metadata.step}`), ...state]);
}

/** What has to be equal of a file; null if nothing has: times, speeds, places and commands differ. */
function compared(name, data) {
  if (/^(environment\.json|timing\.jsonl|report\.html)$/.test(name)) return null;
  // The state before the last one is of wherever a signal last stopped the run.
  if (name.endsWith(".previous.safetensors")) return null;
  if (name.startsWith(`state${sep}`)) return trained(data);
  if (name === "config.json") {
    const { sha256: _, commandLine: __, ...settings } = JSON.parse(data);
    return JSON.stringify(settings);
  }
  if (name === "summary.json") {
    const { sha256: _, runDir: __, tokensPerSecond: ___, ...summary } = JSON.parse(data);
    return JSON.stringify(summary);
  }
  if (name === "posteriors.jsonl") {
    const records = String(data)
      .trimEnd()
      .split("\n")
      .map((line) => {
        const { sha256: _, fitSeconds: __, predictSeconds: ___, ...record } = JSON.parse(line);
        return JSON.stringify(record);
      });
    return records.sort().join();
  }
  return data;
}

/** Of a run directory: path -> hash of what has to be equal. */
export function runContents(directory) {
  const files = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) =>
    statSync(join(directory, name)).isFile(),
  );
  return Object.fromEntries(
    files.flatMap((name) => {
      const content = compared(name, readFileSync(join(directory, name)));
      return content === null ? [] : [[name, createHash("sha256").update(content).digest("hex")]];
    }),
  );
}

/** Names of what is only in one of them, or has another hash there. */
export function differences(one, other) {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].filter((name) => one[name] !== other[name]);
}
