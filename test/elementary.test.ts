/** Logarithm, exponential and cosine: near the engine's own, and the same bytes on every engine. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { cosine, exp, log, log1p } from "../src/elementary.ts";
import { stream } from "../src/random.ts";

/** Arguments that meet every branch, by integer and basic operations alone. */
function argumentsOf(name: string, count: number): number[] {
  const rng = stream(1, 0, "init", 0);
  const unit = () => (rng.next() >>> 0) / 2 ** 32;
  const power = (n: number) => {
    let value = 1;
    for (let i = 0; i < Math.abs(n); i++) value = n < 0 ? value / 2 : value * 2;
    return value;
  };
  return Array.from({ length: count }, (_, i) => {
    if (name === "log") return i % 3 === 0 ? unit() : (1 + unit()) * power(Math.floor((unit() - 0.5) * 2140));
    if (name === "log1p") return i % 3 === 0 ? unit() - 1 : (unit() - 0.5) * power(-Math.floor(unit() * 60));
    if (name === "exp") return i % 3 === 0 ? unit() - 0.5 : (unit() - 0.5) * (i % 3 === 1 ? 4 : 1500);
    const near = unit() * power(-Math.floor(unit() * 40));
    return i % 3 === 0 ? unit() * Math.PI : i % 3 === 1 ? Math.PI - near : Math.abs(Math.PI / 2 - near);
  });
}

/** Units in the last place between two doubles of one sign. */
function distance(a: number, b: number): bigint {
  const [first, second] = new BigInt64Array(Float64Array.of(a, b).buffer);
  return first > second ? first - second : second - first;
}

describe.each([
  ["log", log, Math.log, "0cf606dcf7b64c17"],
  ["log1p", log1p, Math.log1p, "aded351ce2255a75"],
  ["exp", exp, Math.exp, "ce0bf9dcd104efa8"],
  ["cosine", cosine, Math.cos, "e6aa3ef9d5a27c50"],
] as const)("%s", (name, own, engines, hash) => {
  const values = argumentsOf(name, 60_000);

  it("is within 2 units in the last place of the engine's", () => {
    const far = values.filter((x) => !Object.is(own(x), engines(x)) && distance(own(x), engines(x)) > 2n);
    expect(far).toEqual([]);
  });

  it("has the same bytes everywhere", () => {
    const results = Float64Array.from(values, own);
    expect(createHash("sha256").update(results).digest("hex").slice(0, 16)).toBe(hash);
  });
});

it("is exact where the result is, and follows the conventions at the edges", () => {
  expect([log(1), log(0), log(-0), log(Number.POSITIVE_INFINITY)]).toEqual([
    0,
    Number.NEGATIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.POSITIVE_INFINITY,
  ]);
  expect([log(-1), log(Number.NaN), exp(Number.NaN)]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
  expect([exp(0), exp(1), exp(710), exp(-746), exp(Number.NEGATIVE_INFINITY)]).toEqual([
    1,
    Math.E,
    Number.POSITIVE_INFINITY,
    0,
    0,
  ]);
  expect([log1p(0), log1p(-1), log1p(-2), log1p(1e-300)]).toEqual([
    0,
    Number.NEGATIVE_INFINITY,
    Number.NaN,
    1e-300,
  ]);
  expect([cosine(0), cosine(Math.PI)]).toEqual([1, -1]);
});
