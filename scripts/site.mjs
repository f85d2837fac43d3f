/**
 * Builds the page in the browser: a folder of static files for any host, also below a path. Needs the Wasm files.
 *
 *   node scripts/site.mjs [FOLDER]     (build/site without)
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, transform } from "esbuild";

const out = process.argv[2] ?? join("build", "site");
const common = { bundle: true, minify: true, target: "es2022", legalComments: "eof", logLevel: "warning" };

/** What a module of TypeScript exports. */
async function load(path) {
  const { outputFiles } = await build({ ...common, entryPoints: [path], format: "esm", write: false });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await Promise.all([
  build({ ...common, entryPoints: ["src/browser/page.ts"], format: "esm", outfile: join(out, "page.js") }),
  build({
    ...common,
    entryPoints: ["src/browser/worker.ts"],
    format: "iife",
    outfile: join(out, "worker.js"),
  }),
]);
const { pageStyle } = await load("src/report/style.ts");
const styles = [
  pageStyle,
  readFileSync("node_modules/uplot/dist/uPlot.min.css", "utf8"),
  readFileSync("src/browser/page.css", "utf8"),
];
const { code } = await transform(styles.join("\n"), { loader: "css", minify: true });
writeFileSync(join(out, "page.css"), code);
copyFileSync("src/browser/page.html", join(out, "index.html"));
for (const file of ["core.fma.wasm", "core.simd.wasm"]) copyFileSync(join("build", file), join(out, file));
