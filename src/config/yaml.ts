/** YAML as plain data: whatever text comes in, the answer is data of a few levels or an error that names the text. */
import { isMap, isNode, isScalar, parseDocument, visit } from "yaml";
import { messageOf, UsageError } from "../errors.ts";
import { ENDLESS, requireData } from "./data.ts";

export interface YamlText {
  data: unknown;
  /** Keys of the top level whose values are anchors that other places refer to. */
  shared: string[];
}

/**
 * Merge keys (`<<: *base`) are understood.
 * @param source for messages
 * @throws UsageError for what is not YAML, nests without end, or has a tag that stands for nothing here
 */
export function parseYaml(text: string, source: string): YamlText {
  try {
    if (text.includes("\0")) throw new Error("it is not text in UTF-8");
    const document = parseDocument(text, { merge: true, logLevel: "error" });
    const [problem] = [...document.errors, ...document.warnings];
    if (problem) throw problem;
    const data: unknown = document.toJS();
    requireData(data, source);
    return { data, shared: sharedKeys(document) };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const message = messageOf(error).trim();
    // How the parser notices such texts.
    throw new UsageError(`${source}: ${/call stack|alias count/.test(message) ? ENDLESS : message}`);
  }
}

function sharedKeys(document: ReturnType<typeof parseDocument>): string[] {
  const used = new Set<string>();
  visit(document, { Alias: (_, { source }) => void used.add(source) });
  if (!isMap(document.contents)) return [];
  return document.contents.items.flatMap(({ key, value }) =>
    isScalar(key) && isNode(value) && "anchor" in value && used.has(String(value.anchor))
      ? [String(key.value)]
      : [],
  );
}
