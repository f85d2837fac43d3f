/**
 * Rows and columns of the tile of C that the micro-kernel keeps in registers. Of the 15 vector registers that V8 gives away
 * on x64 a row of the tile takes two, and two columns of B and one value of A need three. A fused multiply-add has a
 * latency of 4 cycles and starts twice a cycle, so that 8 accumulators are just enough and never make up for a cycle lost:
 * with 12 it comes closer to the ceiling. Without fusing, the product needs a register of its own, and where registers are
 * wide the processor takes in instructions too slowly for more than 8 accumulators to help.
 */
export const MR: i32 = ASC_FEATURE_RELAXED_SIMD ? 6 : WIDE ? 4 : 5;
export const NR: i32 = WIDE ? 16 : 8;
