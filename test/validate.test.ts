import { describe, expect, test } from "vitest";
import * as validate from "../src/validate.ts";

const { NaN: nan, POSITIVE_INFINITY: infinity } = Number;

/** What each check of a number takes and what it refuses. */
const numeric: [string, (name: string, value: number) => number, number[], number[]][] = [
  ["requirePositive", validate.requirePositive, [5e-324, 1e308], [0, -1, nan, infinity]],
  ["requirePositiveOrInfinite", validate.requirePositiveOrInfinite, [5e-324, infinity], [0, -1, nan]],
  ["requireNonNegative", validate.requireNonNegative, [0, 1e308], [-5e-324, nan, infinity]],
  ["requireFraction", validate.requireFraction, [0, 0.5, 1], [-5e-324, 1 + 2 ** -52, nan]],
  ["requireOpenFraction", validate.requireOpenFraction, [5e-324, 1 - 2 ** -53], [0, 1, nan]],
  ["requirePositiveFraction", validate.requirePositiveFraction, [5e-324, 1], [0, 1 + 2 ** -52, nan]],
  ["requireRate", validate.requireRate, [0, 1 - 2 ** -53], [-5e-324, 1, nan]],
  ["requireCount", validate.requireCount, [1, 2 ** 53 - 1], [0, 1.5, 2 ** 53, nan, infinity]],
  ["requireWhole", validate.requireWhole, [0, 2 ** 53 - 1], [-1, 0.5, 2 ** 53, nan, infinity]],
  ["requireWord", validate.requireWord, [0, 2 ** 32 - 1], [-1, 0.5, 2 ** 32, nan]],
];

describe.each(numeric)("%s", (_, require, taken, refused) => {
  test.each(taken)("takes %d", (value) => {
    expect(require("x", value)).toBe(value);
  });

  test.each(refused)("refuses %d", (value) => {
    expect(() => require("x", value)).toThrow(RangeError);
    expect(() => require("x", value)).toThrow(`x: got ${value}, must be `);
  });
});

test("every check has one form of message", () => {
  const messages: [() => unknown, string][] = [
    [() => validate.refuse("x", null, "there"), "x: got null, must be there"],
    [() => validate.requireAbove("x", 1, 1), "x: got 1, must be a finite number above 1"],
    [() => validate.requirePositive("x", -1), "x: got -1, must be a finite number above 0"],
    [() => validate.requireFraction("x", 2), "x: got 2, must be from 0 to 1"],
    [() => validate.requireOpenFraction("x", 1), "x: got 1, must be strictly between 0 and 1"],
    [() => validate.requireInteger("x", 9, 2, 8), "x: got 9, must be an integer from 2 to 8"],
    [() => validate.requireInteger("x", -3, -2), "x: got -3, must be an integer of at least -2"],
    [() => validate.requireCount("x", 5, 4), "x: got 5, must be an integer from 1 to 4"],
    [() => validate.requireWord("x", 2 ** 32), "x: got 4294967296, must be an integer from 0 to 4294967295"],
    [
      () => validate.requireLength("x", [1], 2, "rows * columns"),
      "length of x: got 1, must be 2, rows * columns",
    ],
    [() => validate.requireNonEmpty("x", []), "length of x: got 0, must be at least 1"],
    [() => validate.requireOneOf("x", "c", ["a", "b"]), "x: got c, must be one of a, b"],
  ];
  for (const [check, message] of messages) expect(check).toThrow(new RangeError(message));
});

test("lists and words that fit pass", () => {
  expect(() => validate.requireLength("x", new Float32Array(3), 3)).not.toThrow();
  expect(() => validate.requireNonEmpty("x", ["a"])).not.toThrow();
  expect(validate.requireOneOf("x", "b", ["a", "b"])).toBe("b");
  expect(validate.requireAbove("x", 1.5, 1)).toBe(1.5);
  expect(validate.requireInteger("x", -2, -2, -1)).toBe(-2);
});
