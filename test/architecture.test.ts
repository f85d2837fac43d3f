/** The order of the rooms of src/: a file knows the rooms below its own, never those above. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

/** Folders, or single files, of src/ from the ground up. */
const ROOMS = [
  "errors",
  "elementary",
  "validate",
  "random",
  "safetensors",
  "core",
  "theory",
  "tasks",
  "config",
  "uncertainty",
  "training",
  "curvature",
  "posterior",
  "pool",
  "run",
  "diagnosis",
  "analysis",
  "sweep",
  "export",
  "report",
  "serve",
  "index",
  "browser",
  "commands",
  "cli",
];

/** Arrows up that still stand, "file -> file". May only shrink. */
const ARROWS_UP: string[] = [];

/** Files below `run` that may import from Node, since they are the Node part of their room. */
const NODE_PARTS: string[] = [
  "config/load.ts",
  "config/presets.ts",
  "core/build.ts",
  "core/simd.ts",
  "pool/pool.ts",
  "pool/worker.ts",
];

/** What a worker thread must not load, for its start is on the way to the first step. */
const HEAVY = ["zod", "yargs", "vega", "vega-lite", "yaml", "cli-progress", "hyparquet-writer"];

/** What runs in worker threads, and what heavy packages it loads still. That may only shrink. */
const THREADS: [string, string[]][] = [
  ["pool/worker.ts", []],
  ["analysis/worker.ts", []],
];

/** All that the page and its workers load besides files of src/. */
const BROWSER_PACKAGES = ["@assemblyscript/loader", "fflate", "ml-matrix", "pure-rand", "uplot", "zod"];

/** What only Node has, without an import. */
const NODE_GLOBALS = ["process", "Buffer", "global", "__dirname", "__filename", "require", "setImmediate"];

interface Import {
  /** As written, or relative to src/ if it begins with a dot. */
  target: string;
  /** Whether only types are taken, so that nothing is loaded. */
  typeOnly: boolean;
  /** Whether it is loaded only when the code asks for it. */
  dynamic: boolean;
}

const root = fileURLToPath(new URL("../src/", import.meta.url));
const files = new Map(
  readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => [name.split(sep).join("/"), importsOf(join(root, name))]),
);

function importsOf(path: string): Import[] {
  const source = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest);
  const found: Import[] = [];
  const add = (node: ts.Node, typeOnly: boolean, dynamic = false) => {
    if (!ts.isStringLiteral(node)) return;
    const target = node.text.startsWith(".")
      ? normalize(join(relative(root, dirname(path)), node.text))
          .split(sep)
          .join("/")
      : node.text;
    found.push({ target, typeOnly, dynamic });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node))
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier) add(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(node.argument.literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], false, true);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Names that are used as values, properties not among them. */
function globalsOf(path: string): string[] {
  const source = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) && NODE_GLOBALS.includes(node.text)) {
      const property = ts.isPropertyAccessExpression(node.parent) && node.parent.name === node;
      if (!property && !ts.isTypeReferenceNode(node.parent)) found.push(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

const roomOf = (file: string) => file.split("/")[0].replace(/\.ts$/, "");
const height = (file: string) => ROOMS.indexOf(roomOf(file));

/** A file and everything that is loaded with it. */
function loadedBy(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const { target, typeOnly, dynamic } of files.get(file) ?? [])
    if (!typeOnly && !dynamic) loadedBy(target, seen);
  return seen;
}

test("every folder and file of src/ has its place in the order", () => {
  expect([...new Set([...files.keys()].map(roomOf))].filter((room) => !ROOMS.includes(room))).toEqual([]);
});

test("every import resolves to a file", () => {
  const inside = [...files].flatMap(([file, imports]) =>
    imports.filter(({ target }) => target.endsWith(".ts")).map(({ target }) => [file, target]),
  );
  expect(inside.length).toBeGreaterThan(files.size);
  expect(inside.filter(([, target]) => !files.has(target))).toEqual([]);
});

test("no arrow points up", () => {
  const up = [...files].flatMap(([file, imports]) =>
    imports
      .filter(({ target }) => files.has(target) && roomOf(target) !== roomOf(file))
      .filter(({ target }) => height(target) > height(file))
      .map(({ target }) => `${file} -> ${target}`),
  );
  expect([...new Set(up)].sort()).toEqual([...ARROWS_UP].sort());
});

test("what lies below run/ imports nothing from Node", () => {
  const below = [...files].filter(([file]) => height(file) < ROOMS.indexOf("run"));
  const node = below.filter(([, imports]) =>
    imports.some(({ target, typeOnly }) => !typeOnly && (target.startsWith("node:") || target === "piscina")),
  );
  expect(node.map(([file]) => file).sort()).toEqual([...NODE_PARTS].sort());
});

/** Rooms whose results are the same bytes on every engine, and what they may use of `Math` that is not. */
const EXACT_ROOMS = ["random", "core", "tasks", "uncertainty", "training"];
const INEXACT: [string, string][] = [
  ["core/known-answer.ts", "sin"],
  // A size.
  ["tasks/prompt-set.ts", "log2"],
];

test("what a run computes outside the core does not depend on the engine's elementary functions", () => {
  const inexact = /\bMath\.(a?(?:cos|sin|tan)h?|atan2|cbrt|exp|expm1|hypot|log|log1p|log2|log10|pow)\b/g;
  const used = [...files.keys()]
    .filter((file) => EXACT_ROOMS.includes(roomOf(file)))
    .flatMap((file) =>
      [
        ...readFileSync(join(root, file), "utf8")
          .replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "")
          .matchAll(inexact),
      ].map(([, name]): [string, string] => [file, name]),
    );
  expect(used.sort()).toEqual(INEXACT);
});

const IN_BROWSER = [
  ...new Set(
    [...files.keys()].filter((file) => roomOf(file) === "browser").flatMap((file) => [...loadedBy(file)]),
  ),
];

test("what runs in a browser loads nothing from Node, and no package by accident", () => {
  expect(IN_BROWSER.filter((name) => files.has(name)).length).toBeGreaterThan(50);
  const packages = IN_BROWSER.filter((name) => !files.has(name)).map((name) =>
    name.split("/", name.startsWith("@") ? 2 : 1).join("/"),
  );
  expect([...new Set(packages)].sort()).toEqual(BROWSER_PACKAGES);
});

test("what runs in a browser uses nothing that only Node has", () => {
  const used = IN_BROWSER.filter((name) => files.has(name)).flatMap((file) =>
    globalsOf(join(root, file)).map((name) => `${file}: ${name}`),
  );
  expect(used).toEqual([]);
});

test.each(THREADS)("%s loads nothing heavy", (thread, still) => {
  expect(files.has(thread)).toBe(true);
  expect([...loadedBy(thread)].filter((name) => HEAVY.includes(name.split("/")[0]))).toEqual(still);
});
