/** Parts of a report, each by itself: in the place of one that cannot be made stands why, and the others are there. */
import type { TopLevelSpec } from "vega-lite";
import { messageOf } from "../errors.ts";
import type { Figure } from "./figures/plot.ts";
import { escapeHtml } from "./html.ts";
import { renderSvg } from "./svg.ts";

/** What a reader needs to know of something that is not there. */
export const missingBox = (what: string, why: string) =>
  `<p class="missing"><strong>${escapeHtml(what)}</strong> is missing: ${escapeHtml(why)}</p>`;

/** The part, or a box that says why it is missing. */
export async function guarded(what: string, make: () => string | Promise<string>): Promise<string> {
  try {
    return await make();
  } catch (error) {
    return missingBox(what, messageOf(error));
  }
}

/** Figures by their ids; in the place of one that cannot be made, a picture that says why. */
export function drawn(builders: Record<string, () => Figure | readonly Figure[] | null>): Figure[] {
  return Object.entries(builders).flatMap(([id, build]) => {
    try {
      return build() ?? [];
    } catch (error) {
      return missingFigure(id, messageOf(error));
    }
  });
}

/** The picture, or one that says why it is missing. */
export async function renderedFigure({ id, spec }: Figure): Promise<string> {
  try {
    return await renderSvg(spec);
  } catch (error) {
    return renderSvg(missingFigure(id, messageOf(error)).spec);
  }
}

function missingFigure(id: string, why: string): Figure {
  const spec: TopLevelSpec = {
    description: `Missing: ${why}`,
    width: 420,
    height: 60,
    data: { values: [{}] },
    mark: { type: "text", text: `missing: ${why}`, limit: 400 },
  };
  return { id, title: `Missing: ${id}`, caption: why, spec };
}
