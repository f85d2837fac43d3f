/** A block of the answer table as SVG: hue says how many members are right, strength how sure they are. */
import { colour, shareColours } from "../theme.ts";
import type { Block, Cell } from "./blocks.ts";

/** Opacity by confidence, from 0 to 1 in equal steps. */
export const STRENGTHS = [0.12, 0.3, 0.5, 0.75, 1];

/** Width of a block, pixels; it is scaled to its place. */
const WIDTH = 200;
/** Rows are no higher than columns are wide, and lower where there are many. */
const ROW_HEIGHT = 7;
const LARGEST_HEIGHT = 150;

/**
 * @param unseenFrom the first column of unseen inputs, which stand apart
 * @param description for those who cannot see it
 */
export function heatMap(block: Block, unseenFrom: number, description: string): string {
  const { columns, cells } = block;
  const rows = cells.length / columns;
  const gap = unseenFrom < columns ? 0.6 : 0;
  const width = WIDTH / (columns + gap);
  const height = Math.min(width, Math.max(ROW_HEIGHT, LARGEST_HEIGHT / rows));
  const place = (column: number) => round(column < unseenFrom ? column : column + gap);
  const paths = [...runsByStyle(cells, columns, unseenFrom)].map(([style, runs]) => {
    const [share, strength] = style.split(" ").map(Number);
    const d = runs.map(({ row, column, length }) => `M${place(column)} ${row + 0.5}h${length}`).join("");
    return `<path d="${d}" stroke="${shareColours[share]}" stroke-opacity="${STRENGTHS[strength]}"/>`;
  });
  const size = `${WIDTH} ${round(rows * height)}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${description}" viewBox="0 0 ${size}">`,
    `<rect width="100%" height="100%" fill="none" stroke="${colour.rule}"/>`,
    `<g transform="scale(${round(width)} ${round(height)})" shape-rendering="crispEdges">${paths.join("")}</g>`,
    "</svg>",
  ].join("");
}

interface Run {
  row: number;
  column: number;
  length: number;
}

/** Neighbours of one look in a row are drawn as one: a table of equal cells is a few lines. */
function runsByStyle(cells: readonly Cell[], columns: number, unseenFrom: number): Map<string, Run[]> {
  const found = new Map<string, Run[]>();
  let last: { style: string; run: Run } | null = null;
  cells.forEach((cell, i) => {
    const column = i % columns;
    const style = cell && `${step(cell.right, shareColours)} ${step(cell.confidence, STRENGTHS)}`;
    if (style && last?.style === style && column !== 0 && column !== unseenFrom) {
      last.run.length++;
      return;
    }
    last = style ? { style, run: { row: Math.floor(i / columns), column, length: 1 } } : null;
    if (last) found.set(last.style, [...(found.get(last.style) ?? []), last.run]);
  });
  return found;
}

/** Which of a scale's equal steps from 0 to 1 a value is nearest to. */
const step = (value: number, scale: readonly unknown[]) => Math.round(value * (scale.length - 1));

const round = (value: number) => Math.round(100 * value) / 100;
