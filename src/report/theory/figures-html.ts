/** Figures as a part of a page. */
import type { Figure } from "../figures/plot.ts";
import { figureHtml } from "../page.ts";
import { renderSvg } from "../svg.ts";

/** In a responsive grid. */
export async function figuresHtml(figures: Figure[]): Promise<string> {
  const pictures = await Promise.all(
    figures.map(async ({ spec, ...figure }) => figureHtml({ ...figure, svg: await renderSvg(spec) })),
  );
  return `<div class="figures">\n${pictures.join("\n")}\n</div>`;
}
