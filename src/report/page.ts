/** The HTML page: one file, nothing fetched from anywhere, and readable without the script that it may have. */
import { createHash } from "node:crypto";
import type { StepAxis } from "./figures/plot.ts";
import { escapeHtml } from "./html.ts";
import { pageStyle } from "./style.ts";

export interface Page {
  title: string;
  /** One line under the title. Plain text. */
  subtitle?: string;
  /** Trusted HTML: everything that came from outside has gone through `escapeHtml`. */
  body: string;
  /** Plain text at the very end. */
  footer?: string;
  /** JavaScript of our own, the only one that the page lets run. */
  script?: string;
}

/** A complete, self-contained HTML document. */
export function htmlPage({ title, subtitle, body, footer, script }: Page): string {
  const allowed = script
    ? `; script-src 'sha256-${createHash("sha256").update(script).digest("base64")}'`
    : "";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:${allowed}">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<style>
${pageStyle}
</style>
</head>
<body>
<div class="page">
<header>
<h1>${escapeHtml(title)}</h1>
${subtitle ? `<p class="subtitle">${escapeHtml(subtitle)}</p>` : ""}
</header>
<main>
${body}
</main>
${footer ? `<footer>${escapeHtml(footer)}</footer>` : ""}
</div>${script ? `\n<script>${script}</script>` : ""}
</body>
</html>
`;
}

/** A picture for one or both spacings of the step axis, with its heading and caption. */
export interface FigureHtml {
  id: string;
  title: string;
  caption: string;
  /** SVG markup: one picture, or one for each spacing. */
  svg: string | { linear: string; log: string };
}

/** Figures with a picture for each spacing of the step axis, of which `stepAxisSwitch` within them shows one. */
export function withStepAxis(body: string, chosen: StepAxis): string {
  const choice = (axis: StepAxis) =>
    `<input class="choice" type="radio" name="axis" id="axis-${axis}"${axis === chosen ? " checked" : ""}>`;
  return `<div>
${choice("linear")}${choice("log")}
<div>
${body}
</div>
</div>`;
}

/** It needs no script. */
export const stepAxisSwitch = `<div class="toggle"><span>Step axis</span><span class="options"><label for="axis-linear">linear</label><label for="axis-log">logarithmic</label></span><span>A logarithmic axis leaves out step 0.</span></div>`;

/** Figures in a responsive grid. */
export function figureGrid(figures: FigureHtml[]): string {
  return `<div class="figures">\n${figures.map(figureHtml).join("\n")}\n</div>`;
}

/** One figure; one with a picture for each spacing belongs inside `withStepAxis`. */
export function figureHtml({ id, title, caption, svg }: FigureHtml): string {
  return `<figure id="${escapeHtml(id)}">
<h3>${escapeHtml(title)}</h3>
${picture(svg)}
<figcaption>${escapeHtml(caption)}</figcaption>
</figure>`;
}

/** One of several figures that share their heading and caption. */
export function pictureHtml({ id, svg }: FigureHtml): string {
  return `<figure id="${escapeHtml(id)}">\n${picture(svg)}\n</figure>`;
}

function picture(svg: FigureHtml["svg"]): string {
  return typeof svg === "string"
    ? svg
    : `<div class="axis-linear">${svg.linear}</div>\n<div class="axis-log">${svg.log}</div>`;
}

export interface Table {
  caption?: string;
  head: string[];
  /** The first cell of a row is its heading. */
  rows: string[][];
  /** Trusted markup placed before a row's heading. */
  rowPrefix?: (row: number) => string;
}

/** A table of plain-text cells that scrolls by itself on a narrow screen. */
export function htmlTable({ caption, head, rows, rowPrefix }: Table): string {
  const label = escapeHtml(caption ?? head.join(", "));
  const body = rows.map(([heading, ...cells], i) => {
    const prefix = rowPrefix?.(i) ?? "";
    const data = cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("");
    return `<tr><th scope="row">${prefix}${escapeHtml(heading)}</th>${data}</tr>`;
  });
  return `<div class="scroll" role="region" tabindex="0" aria-label="${label}">
<table>${caption ? `<caption>${escapeHtml(caption)}</caption>` : ""}
<thead><tr>${head.map((cell) => `<th scope="col">${escapeHtml(cell)}</th>`).join("")}</tr></thead>
<tbody>
${body.join("\n")}
</tbody></table></div>`;
}

export interface Fact {
  term: string;
  value: string;
  note?: string;
}

/** Key figures as a description list. */
export function factList(facts: Fact[]): string {
  const items = facts.map(({ term, value, note }) => {
    const small = note ? `<small>${escapeHtml(note)}</small>` : "";
    return `<div><dt>${escapeHtml(term)}</dt><dd>${escapeHtml(value)}${small}</dd></div>`;
  });
  return `<dl class="facts">\n${items.join("\n")}\n</dl>`;
}

export function section(title: string, body: string): string {
  return `<section>\n<h2>${escapeHtml(title)}</h2>\n${body}\n</section>`;
}

export function bulletList(items: string[]): string {
  return `<ul>\n${items.map((item) => `<li>${escapeHtml(item)}</li>`).join("\n")}\n</ul>`;
}

/** Preformatted text that opens on demand. */
export function disclosure(title: string, text: string): string {
  return `<details><summary>${escapeHtml(title)}</summary><pre tabindex="0">${escapeHtml(text)}</pre></details>`;
}
