/** Taking up a run where it is: what cannot be of it is set aside, and what that leaves missing is computed again. */
import type { CoreModule } from "../core/module.ts";
import { instantiateTransformer } from "../core/transformer.ts";
import type { MemberProgress } from "../pool/controller.ts";
import { transformerShape } from "../training/model.ts";
import type { RunDirectory } from "./directory.ts";
import { FileFault } from "./errors.ts";
import { type Examination, examine } from "./examine.ts";
import { LINES_FILES } from "./files.ts";
import type { Manifest } from "./manifest.ts";
import type { RunObserver } from "./observer.ts";
import { readEnvironment } from "./read.ts";
import type { EarlierRecords } from "./recorder.ts";
import type { RunSummary } from "./records.ts";

/** The earlier part of a run. */
export interface TakenUp {
  /** Of a run that is finished, with all its files. */
  summary: RunSummary | null;
  /** null: the member has to begin anew. */
  members: (MemberProgress | null)[];
  records: EarlierRecords;
  environment: Record<string, unknown> | null;
}

/** Reads the run, and leaves in its directory only what belongs together. */
export async function takeUp(
  directory: RunDirectory,
  manifest: Manifest,
  core: CoreModule,
  { warned }: RunObserver = {},
): Promise<TakenUp> {
  const { path } = directory;
  const { parameters } = instantiateTransformer(core, transformerShape(manifest.config), {
    optimizer: "none",
  });
  const found = await examine(path, manifest, parameters);
  for (const fault of found.faults) warned?.(fault.message);
  for (const file of new Set(found.faults.map(({ place }) => place.file)))
    if (!(LINES_FILES as readonly string[]).includes(file)) await directory.setAside(file);
  for (const [file, lines] of found.surplus) await directory.keepLines(file, lines);
  if (found.faults.length > 0) warned?.(consequence(found));
  // Of a run that was finished, and is not.
  if (!found.summary) await directory.setAside("summary.json");
  return {
    summary: found.summary,
    members: found.members,
    records: {
      records: found.evaluations.map(({ record }) => record),
      timing: found.timing.at(-1)?.record,
      answered: found.answers.at(-1)?.record.step ?? -1,
    },
    environment: await readEnvironment(path).catch((error) => {
      if (error instanceof FileFault) return null;
      throw error;
    }),
  };
}

/** What the user has to know who waits for the run. */
function consequence({ summary, evaluations, members }: Examination): string {
  if (summary) return "what is damaged is in set-aside/; the run is finished without it";
  const last = evaluations.at(-1)?.record.step;
  const from = members
    .map((progress, member) => `${member} from step ${progress?.state?.step ?? 0}`)
    .join(", ");
  return (
    `what is damaged is in set-aside/, and what is missing is computed again: evaluations after step ${last ?? 0}, ` +
    `member ${from}. To restore the files from a copy instead, stop now`
  );
}
