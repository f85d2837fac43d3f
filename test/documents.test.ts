/** What the documents name is there: files, functions, commands and their flags, links, and the presets' settings. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { listPresets } from "../src/config/presets.ts";

const root = resolve(import.meta.dirname, "..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const markdownIn = (folder: string) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name));
const documents = [
  ".",
  "docs",
  "examples",
  "benchmarks",
  "experiments/diagnosis",
  "experiments/presets",
].flatMap(markdownIn);

const matches = (text: string, pattern: RegExp) => Array.from(text.matchAll(pattern), (match) => match[1]);
const rooms = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
  .map((entry) => entry.name);

/** In backquotes and with a slash, from the root of the repository; not a pattern. */
const pathsIn = (text: string) =>
  matches(text, /`([\w.-]+\/[^`\s]*)`/g).filter(
    (path) => rooms.includes(path.split("/")[0]) && !/[*<]|^(build|dist|node_modules)\//.test(path),
  );

/** Paragraphs, list items and rows of tables. */
const blocksOf = (text: string) => text.split(/\n\s*\n|\n(?=\s*(?:[-*|]|\d+\.) )/);

const declares = (code: string, name: string) =>
  new RegExp(
    `(?:function\\*?|class|const|interface|type) ${name}\\b|^\\s+(?:async |static |readonly )*${name}\\(`,
    "m",
  ).test(code);

/** Command lines: in backquotes, and those of blocks of shell code without their comments. */
function commandLines(text: string): string[] {
  const blocks = matches(text, /```(?:sh)?\n([\s\S]*?)```/g).flatMap((block) => block.split("\n"));
  const inline = matches(text.replaceAll(/```[\s\S]*?```/g, ""), /`([^`]+)`/g);
  return [...blocks, ...inline].flatMap((line) =>
    line.split(/#| && /).map((command) => command.trim().replace(/^npx /, "")),
  );
}

const scripts = JSON.parse(read("package.json")).scripts as Record<string, string>;

/** A command's flags, from its help; of a command of its own below it, such as that of `sweep status`, from that one's. */
const helps = new Map<string, string>();
function helpOf(command: string, next = ""): string {
  if (!helps.has(command)) {
    const cli = [join(root, "dist/cli.js"), ...command.split(" "), "--help"];
    helps.set(command, execFileSync(process.execPath, cli, { encoding: "utf8", stdio: "pipe" }));
  }
  const help = helps.get(command)!;
  return next && new RegExp(`^ +epigrok ${command} ${next}\\b`, "m").test(help)
    ? helpOf(`${command} ${next}`)
    : help;
}

/** What is wrong with a command line; null if nothing, or if it is none. */
function fault(line: string): string | null {
  const [program, first, ...rest] = line.split(/\s+/);
  if (program === "npm" && ["run", "start", "test"].includes(first)) {
    const script = first === "run" ? rest.find((word) => !word.startsWith("-"))! : first;
    return scripts[script] ? null : `package.json has no script ${script}`;
  }
  if (program === "node" && /\.m?js$/.test(first ?? ""))
    return existsSync(join(root, first)) ? null : `there is no ${first}`;
  if (program !== "epigrok" || first === undefined || !/^[a-z]+$/.test(first)) return null;
  if (!existsSync(join(root, `src/commands/${first}.ts`))) return `epigrok has no command ${first}`;
  const help = helpOf(first, /^[a-z]+$/.exec(rest[0] ?? "")?.[0]);
  const unknown = rest.filter((word) => word.startsWith("--") && !help.includes(word.split("=")[0]));
  return unknown.length === 0 ? null : `epigrok ${first} has no ${unknown.join(", ")}`;
}

describe.each(documents)("%s", (document) => {
  const text = read(document);

  it("names files that are there", () => {
    expect(pathsIn(text).filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it("names functions that are in the files beside them", () => {
    const missing = blocksOf(text).flatMap((block) => {
      const files = pathsIn(block).filter((path) => path.endsWith(".ts") && existsSync(join(root, path)));
      if (files.length === 0) return [];
      const code = files.map(read).join("\n");
      const functions = matches(block, /`(?:\w+\.)?(\w+)\(\)`/g).filter((name) => !declares(code, name));
      const others = matches(block, /`([A-Z]\w+|\w+[A-Z]\w*)`/g).filter(
        (name) => !new RegExp(`\\b${name}\\b`).test(code),
      );
      return [...functions, ...others].map((name) => `${name} in ${files.join(", ")}`);
    });
    expect(missing).toEqual([]);
  });

  it("links to what is there", () => {
    const targets = matches(text, /(?:\]\(|srcset="|src=")([^)"#\s]+)/g).filter(
      (target) => !/^[a-z]+:/.test(target),
    );
    const missing = targets.filter((target) => !existsSync(join(root, dirname(document), target)));
    expect(missing).toEqual([]);
  });

  it("gives commands that exist", () => {
    expect(commandLines(text).flatMap((line) => fault(line) ?? [])).toEqual([]);
  });
});

describe("docs/presets.md", () => {
  const rows = matches(read("docs/presets.md"), /^\|(.*)\|$/gm).map((row) =>
    row.split("|").map((cell) => cell.trim()),
  );
  const names = rows.find(([first]) => first === "setting")!.slice(1);
  const settings = rows.filter(([first]) => /^`[\w.]+`$/.test(first));

  it("has a column for every preset", () => {
    expect(names.toSorted()).toEqual(listPresets().map(({ name }) => name));
  });

  it.each(listPresets())("states the settings of $name", ({ name, config }) => {
    const stated = settings.map((row) => [row[0], row[1 + names.indexOf(name)]]);
    const actual = settings.map(([key]) => {
      const at = (value: unknown, part: string) => (value as Record<string, unknown>)[part];
      const value = key.slice(1, -1).split(".").reduce<unknown>(at, config);
      return [key, Array.isArray(value) ? value.join(", ") : String(value)];
    });
    expect(
      stated.map(([key, value]) => [key, /^[\d.]+$/.test(value) ? String(Number(value)) : value]),
    ).toEqual(actual);
  });
});
