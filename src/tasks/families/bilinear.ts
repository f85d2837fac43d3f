import { polynomialFamily } from "./polynomial.ts";

/** Linear, plus the product of every two variables: in two variables z = a1 x1 + a2 x2 + a12 x1 x2. */
export const bilinear = polynomialFamily({
  description: "z = the sum of all ai xi and all aij xi xj with i < j",
  monomials(variables) {
    const indices = Array.from({ length: variables }, (_, i) => i);
    const pairs = indices.flatMap((i) => indices.slice(i + 1).map((j) => [i, j]));
    return [...indices.map((i) => [i]), ...pairs];
  },
  validate: ({ variables }) =>
    variables >= 2
      ? []
      : [
          {
            path: "task.variables",
            value: variables,
            allowed: "at least 2 with task.family bilinear, which multiplies two of them",
            given: ["task.family"],
          },
        ],
});
