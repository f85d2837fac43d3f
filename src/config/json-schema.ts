/** The configuration as a JSON Schema, with which an editor completes, checks and explains a YAML file of it. */
import * as z from "zod";
import { configSchema } from "./schema.ts";

type JsonSchema = z.core.JSONSchema.BaseSchema;

const TEXT = { type: "string" } as const;

/**
 * JSON Schema, draft 7, of what a configuration file may hold: settings with their ranges, defaults and descriptions, and
 * the keys that are left out of them (`fileLayer`). What settings forbid each other is not in it.
 */
export function configJsonSchema(): JsonSchema {
  const { $schema, properties, ...schema } = z.toJSONSchema(configSchema, {
    io: "input",
    target: "draft-7",
    override: ({ jsonSchema }) => refine(jsonSchema),
  });
  return {
    $schema,
    title: "epigrok configuration",
    ...schema,
    properties: {
      $schema: { ...TEXT, description: "where the editor finds this schema" },
      name: { ...TEXT, description: "what the configuration is called" },
      description: { ...TEXT, description: "what the configuration is for" },
      ...properties,
    },
    patternProperties: { "^(x-|\\.)": { description: "left out: a place for anchors" } },
  };
}

/** Sections may be empty, which is null in YAML, and no integer is as large as a float64 can tell. */
function refine(schema: JsonSchema): void {
  if (schema.type === "object" && schema.properties) schema.type = ["object", "null"] as never;
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
}
