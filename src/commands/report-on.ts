/** The report that other commands end with. */
import { messageOf } from "../errors.ts";
import { quoted } from "./signals.ts";

/**
 * Results are complete without their report, so a report that fails is a warning.
 * @param directory a run, or a sweep
 * @returns the path of the report, or null.
 */
export async function reportOn(directory: string): Promise<string | null> {
  try {
    const { writeReport, writeSweepReport } = await import("../report/report.ts");
    const { holdsSweep } = await import("../sweep/directory.ts");
    return holdsSweep(directory) ? await writeSweepReport(directory) : await writeReport([directory]);
  } catch (error) {
    console.error(`No report: ${messageOf(error)}. Try again with: epigrok report ${quoted(directory)}`);
    return null;
  }
}
