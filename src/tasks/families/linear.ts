import { polynomialFamily } from "./polynomial.ts";

/** The family of He et al. (arXiv 2406.02550). */
export const linear = polynomialFamily({
  description: "z = a1 x1 + .. + av xv",
  monomials: (variables) => Array.from({ length: variables }, (_, i) => [i]),
});
