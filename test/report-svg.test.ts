import { describe, expect, it } from "vitest";
import { renderSvg } from "../src/report/svg.ts";
import { colour, resolveColours } from "../src/report/theme.ts";

const spec = {
  title: "Loss <&> 'time'",
  description: 'falls "fast"',
  width: 300,
  height: 120,
  data: { values: [1, 2, 3].flatMap((x) => ["a", "</text><script>"].map((k) => ({ x, y: x * x, k }))) },
  mark: { type: "line" as const, clip: true },
  encoding: {
    x: { field: "x", type: "quantitative" as const },
    y: { field: "y", type: "quantitative" as const },
    color: { field: "k", type: "nominal" as const },
  },
};

describe("renderSvg", () => {
  it("fills its container, has a role, a name and a description, and draws its data", async () => {
    const svg = await renderSvg(spec);
    const root = svg.slice(0, svg.indexOf(">") + 1);
    expect(root).toMatch(/^<svg [^>]*viewBox="0 0 \d+ \d+"/);
    expect(root).toContain('role="img"');
    expect(root).toContain('width="100%"');
    expect(root).not.toMatch(/ height=/);
    expect(svg).toContain("<title>Loss &lt;&amp;&gt; &#39;time&#39;</title>");
    expect(svg).toContain("<desc>falls &quot;fast&quot;</desc>");
    expect(svg).toContain(`stroke="${colour.blue}"`);
    expect(svg).toContain(`stroke="${colour.vermillion}"`);
  });

  it("escapes labels that come from data", async () => {
    expect(await renderSvg(spec)).not.toMatch(/<script/);
  });

  it("uses the description as name if there is no title", async () => {
    const svg = await renderSvg({ ...spec, title: undefined });
    expect(svg).toContain("<title>falls &quot;fast&quot;</title>");
    expect(svg).not.toContain("<desc>");
  });

  it("gives clip paths of different pictures different ids, and refers to them", async () => {
    const pictures = await Promise.all([
      renderSvg(spec),
      renderSvg({ ...spec, height: 121 }),
      renderSvg({ ...spec, height: 122 }),
    ]);
    const ids = pictures.flatMap((svg) => [...svg.matchAll(/\bid="([^"]+)"/g)].map((match) => match[1]));
    expect(ids.length).toBeGreaterThanOrEqual(3);
    expect(new Set(ids).size).toBe(ids.length);
    for (const svg of pictures) {
      for (const [, id] of svg.matchAll(/url\(#([^)]+)\)/g)) expect(svg).toContain(`id="${id}"`);
    }
  });

  it("resolves every colour for a light or a dark file", async () => {
    const [light, dark] = await Promise.all([renderSvg(spec, "light"), renderSvg(spec, "dark")]);
    for (const svg of [light, dark]) {
      expect(svg).not.toContain("var(");
      expect(svg).not.toContain("currentColor");
      expect(svg).toMatch(/ height="\d+"/);
    }
    expect(light).toContain('fill="#ffffff"');
    expect(dark).not.toContain('fill="#ffffff"');
    expect(resolveColours(colour.blue, "light")).not.toBe(resolveColours(colour.blue, "dark"));
  });

  it("follows the viewer's scheme in an automatic file", async () => {
    const svg = await renderSvg(spec, "auto");
    expect(svg).toContain("prefers-color-scheme:dark");
    expect(svg).toContain(`fill="${colour.paper}"`);
  });

  it("is the same every time", async () => {
    expect(await renderSvg(spec)).toBe(await renderSvg(spec));
  });
});

/** WCAG relative luminance of #rrggbb. */
function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5]
    .map((i) => Number.parseInt(hex.slice(i, i + 2), 16) / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

describe("theme", () => {
  it.each(["light", "dark"] as const)("has legible data colours and text on %s paper", (scheme) => {
    const paper = resolveColours(colour.paper, scheme);
    for (const role of ["blue", "vermillion", "green", "purple", "ochre", "slate"] as const) {
      expect(contrast(resolveColours(colour[role], scheme), paper), role).toBeGreaterThan(4);
    }
    for (const role of ["ink", "muted", "link"] as const) {
      expect(contrast(resolveColours(colour[role], scheme), paper), role).toBeGreaterThan(4.5);
    }
  });
});
