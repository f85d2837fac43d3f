/** The files of a run as the command line writes them, with the same checksums. */
import { zipSync } from "fflate";
import { summarise } from "../run/summary.ts";
import {
  allSettings,
  followedSettings,
  RUN_FORMAT,
  UNSEALED,
  unsealedLine,
  unsealedObject,
} from "../run/unsealed.ts";
import { sha256 } from "./digest.ts";
import type { Session } from "./session.ts";
import { settingsOf } from "./settings.ts";

/** A run directory without checkpoints, which `epigrok report` and `epigrok status` open. */
export async function runArchive(session: Session, workers: number): Promise<Uint8Array<ArrayBuffer>> {
  const { config, core, records, answers, timing, references, members, seconds } = session;
  const run = await sha256(followedSettings(config));
  const object = (value: object) => sealed(unsealedObject(value, run));
  const lines = async (of: readonly object[]) =>
    (await Promise.all(of.map((record) => sealed(unsealedLine(record, run))))).join("");
  const { math, simd, sha256: wasmSha256 } = core;
  const files: Record<string, string> = {
    "config.json": await object({
      ...{ format: RUN_FORMAT, config, hash: await sha256(allSettings(config)) },
      overrides: [{ source: "a page in a browser", values: Object.fromEntries(settingsOf(config)) }],
      commandLine: [],
    }),
    "environment.json": await object({ browser: navigator.userAgent, math, simd, wasmSha256, workers }),
    "metrics.jsonl": await lines(records),
    "answers.jsonl": await lines(answers),
    "timing.jsonl": await lines(timing),
  };
  if (session.finished) {
    const tokensPerSecond = (timing.at(-1)?.tokens ?? 0) / seconds;
    files["summary.json"] = await object(
      summarise({ runDir: "", config, records, references, members, math, simd, tokensPerSecond }),
    );
  }
  const encoder = new TextEncoder();
  return zipSync(
    Object.fromEntries(
      Object.entries(files).map(([name, text]) => [`epigrok-run/${name}`, encoder.encode(text)]),
    ),
  );
}

/** The checksum is of the text with zeros in its place. */
const sealed = async (text: string) => text.replace(UNSEALED, await sha256(text));

/** Offers a file to be kept. */
export function save(name: string, content: BlobPart, type: string): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The download has begun by then.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
