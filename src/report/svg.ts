/** Vega-Lite to SVG on the server side: no browser, no canvas, no script in the result. */
import { createHash } from "node:crypto";
import type { Config, TopLevelSpec } from "vega-lite";
import { escapeHtml } from "./html.ts";
import { categories, colour, fontStack, resolveColours, schemeCss } from "./theme.ts";

/**
 * Where the picture will live. `page`: inside an HTML page that defines the colour variables. `light`, `dark`: a file
 * with fixed colours. `auto`: a file that follows the viewer's colour scheme by itself.
 */
export type SvgTheme = "page" | "light" | "dark" | "auto";

const fontSize = 13;

const vegaConfig: Config = {
  background: "transparent",
  font: fontStack,
  padding: { left: 2, right: 2, top: 2, bottom: 2 },
  // The picture as a whole carries a title and a description; labels on every mark would only add noise.
  aria: false,
  view: { stroke: null },
  mark: { color: categories[0] },
  text: { color: "currentColor", fontSize },
  rule: { color: "currentColor" },
  line: { strokeCap: "round", strokeJoin: "round" },
  title: { color: "currentColor", fontSize, fontWeight: 600, anchor: "start", offset: 8 },
  header: { labelColor: "currentColor", titleColor: "currentColor", labelFontSize: fontSize },
  axis: {
    labelColor: "currentColor",
    titleColor: "currentColor",
    domainColor: colour.muted,
    tickColor: colour.muted,
    gridColor: colour.rule,
    gridWidth: 1,
    labelFontSize: fontSize,
    titleFontSize: fontSize,
    titleFontWeight: "normal",
    labelPadding: 4,
    titlePadding: 6,
    tickSize: 4,
    labelOverlap: "greedy",
  },
  axisX: { grid: false },
  axisY: { domain: false, ticks: false },
  legend: {
    labelColor: "currentColor",
    titleColor: "currentColor",
    labelFontSize: fontSize,
    titleFontSize: fontSize,
    titleFontWeight: "normal",
    orient: "top",
    symbolType: "stroke",
    symbolStrokeWidth: 3,
  },
  range: { category: categories },
};

/**
 * Renders a Vega-Lite specification to an SVG string that fills the width of its container. The `title` (or the
 * `description`) of the specification becomes the accessible name, its `description` the accessible description.
 * Vega is loaded on the first call only.
 */
export async function renderSvg(spec: TopLevelSpec, theme: SvgTheme = "page"): Promise<string> {
  const [vega, vegaLite] = await Promise.all([import("vega"), import("vega-lite")]);
  const compiled = vegaLite.compile(spec, { config: vegaConfig }).spec;
  const view = new vega.View(vega.parse(compiled), { renderer: "none", logLevel: vega.Error });
  try {
    return present(await view.toSVG(), spec, theme);
  } finally {
    view.finalize();
  }
}

function present(raw: string, spec: TopLevelSpec, theme: SvgTheme): string {
  const viewBox = /^<svg[^>]*\bviewBox="([^"]+)"/.exec(raw)?.[1];
  if (viewBox === undefined) throw new Error("vega returned no <svg> with a viewBox");
  const [, , width, height] = viewBox.split(" ").map(Number);
  const body = uniqueIds(compact(raw.slice(raw.indexOf(">") + 1)));
  const size = theme === "page" ? 'width="100%"' : `width="${width}" height="${height}"`;
  const paper = `<rect width="100%" height="100%" fill="${colour.paper}"/>`;
  const font = `font-family="${escapeHtml(fontStack)}"`;
  const svg = [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="${viewBox}" ${size} ${font}>`,
    labels(spec),
    theme === "auto" ? `<style>${schemeCss(":root")}:root{color:var(--ink)}</style>` : "",
    theme === "page" ? "" : paper,
    body,
  ].join("");
  return theme === "light" || theme === "dark" ? resolveColours(svg, theme) : svg;
}

function labels(spec: TopLevelSpec): string {
  const title = titleText(spec.title);
  const description = spec.description ?? "";
  const name = title || description;
  return (
    (name && `<title>${escapeHtml(name)}</title>`) +
    (title && description && `<desc>${escapeHtml(description)}</desc>`)
  );
}

function titleText(title: TopLevelSpec["title"]): string {
  if (typeof title === "string") return title;
  if (Array.isArray(title)) return title.join(" ");
  if (title && "text" in title) return titleText(title.text as string | string[]);
  return "";
}

/** Coordinates to a hundredth of a pixel; no attribute that repeats a default or serves only Vega's interaction. */
function compact(svg: string): string {
  return svg
    .replaceAll(` font-family="${escapeHtml(fontStack)}"`, "")
    .replace(/ (class|pointer-events|aria-[a-z]+|role|xmlns:xlink)="[^"]*"/g, "")
    .replace(/ (opacity|stroke-width)="1"/g, "")
    .replaceAll('<path d="" display="none"/>', "")
    .replace(/ (d|transform|x1?|y1?|x2|y2|width|height)="([^"]*)"/g, (_, name: string, value: string) => {
      return ` ${name}="${value.replace(/-?\d+\.\d{3,}/g, (n) => String(Number(Number(n).toFixed(2))))}"`;
    });
}

/**
 * Vega counts clip paths through all pictures of a process. Counting them in each picture, behind a digest of it, makes
 * ids that differ between the pictures of a page and are the same in every process.
 */
function uniqueIds(svg: string): string {
  const ids = [...svg.matchAll(/\bid="([^"]+)"/g)].map((match) => match[1]);
  const rename = (prefix: string) =>
    svg.replace(/(\bid="|url\(#|href="#)([^")]+)/g, (whole, before: string, id: string) =>
      ids.includes(id) ? `${before}${prefix}-${ids.indexOf(id)}` : whole,
    );
  const digest = createHash("sha256").update(rename("")).digest("hex").slice(0, 10);
  return rename(`e${digest}`);
}
