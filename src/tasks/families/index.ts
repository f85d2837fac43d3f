/** The families of tasks, by the name that `task.family` has. */
import { bilinear } from "./bilinear.ts";
import type { Family } from "./family.ts";
import { linear } from "./linear.ts";

export const FAMILIES = { linear, bilinear } satisfies Record<string, Family>;

export type FamilyName = keyof typeof FAMILIES;
export const FAMILY_NAMES = Object.keys(FAMILIES) as [FamilyName, ...FamilyName[]];
export const DEFAULT_FAMILY: FamilyName = "linear";
