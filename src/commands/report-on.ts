/** The report that other commands end with. */
import { messageOf } from "../errors.ts";
import { quoted } from "./signals.ts";

/**
 * Results are complete without their report, so a report that fails is a warning.
 * @returns the path of the report, or null.
 */
export async function reportOn(runDir: string): Promise<string | null> {
  try {
    const { writeReport } = await import("../report/report.ts");
    return await writeReport([runDir]);
  } catch (error) {
    console.error(`No report: ${messageOf(error)}. Try again with: epigrok report ${quoted(runDir)}`);
    return null;
  }
}
