/** Activations of the MLP: what the core (assembly/layers/activation.ts) calls by number. */

export const ACTIVATIONS = {
  relu: { code: 0, formula: "max(x, 0)" },
  gelu: { code: 1, formula: "x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))" },
  silu: { code: 2, formula: "x/(1 + e^-x)" },
} as const;

export type ActFn = keyof typeof ACTIVATIONS;

export const ACT_FNS = Object.keys(ACTIVATIONS) as ActFn[];
