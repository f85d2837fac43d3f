/** The keys of the configuration as a list, for what looks settings up by name. */
import * as z from "zod";
import { configSchema } from "./schema.ts";

export interface Key {
  /** Dotted. */
  name: string;
  /** A section has keys of its own. */
  section: boolean;
  /** Whether its values are integers. */
  integer: boolean;
  /** What it may be, where that is a short list; else its default. */
  suggestions: string[];
}

type JsonSchema = z.core.JSONSchema.BaseSchema;

let known: Key[] | undefined;

/** All keys, the sections among them, in the order of the schema. Made when first asked for: it takes a while. */
export function configKeys(): readonly Key[] {
  known ??= keysIn(z.toJSONSchema(configSchema, { io: "input" }), "");
  return known;
}

function keysIn(schema: JsonSchema, prefix: string): Key[] {
  return Object.entries(schema.properties ?? {}).flatMap(([part, property]) => {
    const inner = property as JsonSchema;
    const name = prefix + part;
    const below = keysIn(inner, `${name}.`);
    const key = { name, section: below.length > 0, integer: inner.type === "integer" };
    return [{ ...key, suggestions: suggestionsOf(inner) }, ...below];
  });
}

function suggestionsOf({ enum: choices, type, default: standard }: JsonSchema): string[] {
  if (choices) return choices.map(String);
  if (type === "boolean") return ["true", "false"];
  return typeof standard === "number" ? [String(standard)] : [];
}
