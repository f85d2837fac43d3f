/** Checks of the options of a method, before anything is fitted. */
import { refuse } from "../validate.ts";

/** A check for every option there is: it throws a RangeError for a value that is not allowed. */
export type OptionChecks<Options extends object> = {
  readonly [Name in keyof Options]-?: (name: string, value: NonNullable<Options[Name]>) => unknown;
};

/** @throws RangeError for an option that there is none of, or that its check refuses */
export function requireOptions<Options extends object>(
  method: string,
  options: Options,
  checks: OptionChecks<Options>,
): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(checks, name)) refuseOption(method, name, Object.keys(checks));
    checks[name as keyof Options](name, value);
  }
}

/** @param allowed the options that there are */
export function refuseOption(method: string, name: string, allowed: readonly string[]): never {
  refuse(
    `option of ${method}`,
    name,
    allowed.length > 0 ? `one of ${allowed.join(", ")}` : "left out: it has none",
  );
}

export function requireFlag(name: string, value: boolean): boolean {
  return typeof value === "boolean" ? value : refuse(name, value, "true or false");
}
