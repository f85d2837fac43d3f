// The single truth about shapes and addresses: the model's dimensions, the table of parameter tensors, and every
// buffer of the core. `plan` lays everything out in one arena that begins at __heap_base; nothing is allocated later.
//
// One flat order serves parameters, gradient and both optimiser moments. Activations are sized for one micro-batch of
// at most NT tokens; rows are (sequence, time) row-major.

import { KC, PACKED_A_FLOATS, packedSize } from "./gemm";
import { activation_keeps_input, activation_select } from "./layers/activation";
import { LANES } from "./simd";
import { TANGENT, tangents_place } from "./tangent";

// ---- the model: written from outside, by the names in index.ts, before `plan` -----------------------------------
/** Vocabulary. */ export let V: i32 = 0;
/** Residual width. */ export let D: i32 = 0;
/** Heads. */ export let H: i32 = 0;
/** Blocks. */ export let L: i32 = 0;
/** MLP width. */ export let F: i32 = 0;
/** Longest sequence. */ export let NCTX: i32 = 0;
/** Period of the token-role embedding; 0 for none. */ export let ROLES: i32 = 0;
/** Code of the MLP's activation. */ export let ACTIVATION: i32 = 0;
/** The unembedding is the token embedding. */ export let TIED: bool = false;
/** Most tokens in a micro-batch. */ export let NT: i32 = 0;

// What to reserve memory for besides predictions. Each but IVON's has the backward pass with it.
/** The backward pass. */ export let GRADIENTS: bool = false;
/** An optimiser's moments. */ export let MOMENTS: bool = false;
/** What IVON needs besides moments. */ export let IVON: bool = false;
/** All tangents, and squared gradients. */ export let CURVATURE: bool = false;
/** Kronecker factors. */ export let KRONECKER: bool = false;

/** Head dimension, even. */ export let HD: i32 = 0;

// ---- parameters: offsets in floats into a flat vector -----------------------------------------------------------
export let P_ROLE: i32 = 0; // wre [ROLES, D]; wte [V, D] is at 0
export let P_BLOCK: i32 = 0; // first block
export let P_BLOCK_SIZE: i32 = 0;
export let P_LNF: i32 = 0; // ln_f.weight [D], ln_f.bias [D]
export let P_HEAD: i32 = 0; // lm_head [V, D]; 0 when tied
export let PARAMETERS: i32 = 0;

// Offsets within a block: ln_1.weight at 0, ln_1.bias at D.
// @ts-ignore: decorator
@inline export function P_QKV(): i32 {
  return 2 * D;
}
// @ts-ignore: decorator
@inline export function P_O(): i32 {
  return 2 * D + 3 * D * D;
}
// @ts-ignore: decorator
@inline export function P_LN2(): i32 {
  return 2 * D + 4 * D * D;
}
// @ts-ignore: decorator
@inline export function P_FC(): i32 {
  return 4 * D + 4 * D * D;
}
// @ts-ignore: decorator
@inline export function P_PROJ(): i32 {
  return 4 * D + 4 * D * D + F * D;
}

// ---- Kronecker factors: offsets in floats -----------------------------------------------------------------------
// Tensor by tensor in flat order: of a matrix (rows, columns) its left factor (rows, rows), then its right one
// (columns, columns), of a vector (rows) its squares. When tied, the use as unembedding comes last.
export let K_ROLE: i32 = 0; // wte is at 0
export let K_BLOCK: i32 = 0,
  K_BLOCK_SIZE: i32 = 0;
export let K_LNF: i32 = 0;
export let K_HEAD: i32 = 0;
export let FACTORS: i32 = 0;

// Offsets within a block: ln_1.weight at 0, ln_1.bias at D.
// @ts-ignore: decorator
@inline export function K_QKV(): i32 {
  return 2 * D;
}
// @ts-ignore: decorator
@inline export function K_O(): i32 {
  return 2 * D + 10 * D * D;
}
// @ts-ignore: decorator
@inline export function K_LN2(): i32 {
  return 2 * D + 12 * D * D;
}
// @ts-ignore: decorator
@inline export function K_FC(): i32 {
  return 4 * D + 12 * D * D;
}
// @ts-ignore: decorator
@inline export function K_PROJ(): i32 {
  return 4 * D + 13 * D * D + F * F;
}

/** Kinds of parameter tensor, in flat order; TypeScript turns (kind, block) into a name. */
export const enum Tensor {
  WTE,
  WRE,
  LN1_WEIGHT,
  LN1_BIAS,
  QKV,
  ATTN_O,
  LN2_WEIGHT,
  LN2_BIAS,
  MLP_FC,
  MLP_PROJ,
  LNF_WEIGHT,
  LNF_BIAS,
  LM_HEAD,
}
const TENSORS_PER_BLOCK: i32 = 8;

export let tensorKind: i32 = 0;
export let tensorBlock: i32 = 0;
export let tensorOffset: i32 = 0;
export let tensorRows: i32 = 0;
/** 0 for a vector of tensorRows elements. */
export let tensorColumns: i32 = 0;

function describe(kind: i32, block: i32, offset: i32, rows: i32, columns: i32): void {
  tensorKind = kind;
  tensorBlock = block;
  tensorOffset = offset;
  tensorRows = rows;
  tensorColumns = columns;
}

export function tensorCount(): i32 {
  return 1 + (ROLES > 0 ? 1 : 0) + L * TENSORS_PER_BLOCK + 2 + (TIED ? 0 : 1);
}

/** Set tensorKind .. tensorColumns to those of tensor `index`, 0 <= index < tensorCount(). */
export function selectTensor(index: i32): void {
  if (index == 0) return describe(Tensor.WTE, 0, 0, V, D);
  let i = index - 1;
  if (ROLES > 0) {
    if (i == 0) return describe(Tensor.WRE, 0, P_ROLE, ROLES, D);
    i -= 1;
  }
  const block = i / TENSORS_PER_BLOCK;
  if (block >= L) {
    i -= L * TENSORS_PER_BLOCK;
    if (i == 0) return describe(Tensor.LNF_WEIGHT, 0, P_LNF, D, 0);
    if (i == 1) return describe(Tensor.LNF_BIAS, 0, P_LNF + D, D, 0);
    return describe(Tensor.LM_HEAD, 0, P_HEAD, V, D);
  }
  const base = P_BLOCK + block * P_BLOCK_SIZE;
  switch (Tensor.LN1_WEIGHT + (i % TENSORS_PER_BLOCK)) {
    case Tensor.LN1_WEIGHT:
      return describe(Tensor.LN1_WEIGHT, block, base, D, 0);
    case Tensor.LN1_BIAS:
      return describe(Tensor.LN1_BIAS, block, base + D, D, 0);
    case Tensor.QKV:
      return describe(Tensor.QKV, block, base + P_QKV(), 3 * D, D);
    case Tensor.ATTN_O:
      return describe(Tensor.ATTN_O, block, base + P_O(), D, D);
    case Tensor.LN2_WEIGHT:
      return describe(Tensor.LN2_WEIGHT, block, base + P_LN2(), D, 0);
    case Tensor.LN2_BIAS:
      return describe(Tensor.LN2_BIAS, block, base + P_LN2() + D, D, 0);
    case Tensor.MLP_FC:
      return describe(Tensor.MLP_FC, block, base + P_FC(), F, D);
    default:
      return describe(Tensor.MLP_PROJ, block, base + P_PROJ(), D, F);
  }
}

// ---- buffers: byte addresses ---------------------------------------------------------------------------------
/**
 * theta, its gradient and the optimiser's moments, PARAMETERS floats each: AdamW's first and second moments, or IVON's
 * momentum and Hessian. The gradient, and its sum over the shards of a batch, are there for any backward pass, the moments
 * only for training.
 */
export let parameters: usize = 0,
  gradient: usize = 0,
  gradientTotal: usize = 0,
  firstMoment: usize = 0,
  secondMoment: usize = 0;
/** IVON only: the mean while `parameters` holds a sample, and sums over samples of gradients and Hessian estimates. */
export let mean: usize = 0,
  gradientSum: usize = 0,
  hessianSum: usize = 0;

// Packed weights, per block: right operands of the forward products (W^T) and of the backward ones (W).
export let packedBlocks: usize = 0,
  packedBlockBytes: usize = 0;
export let packedHead: usize = 0,
  packedHeadBack: usize = 0;
// Offsets in bytes within a block's packed weights.
export let PK_Q: usize = 0,
  PK_KV: usize = 0,
  PK_O: usize = 0,
  PK_FC: usize = 0,
  PK_PROJ: usize = 0;
export let PK_Q_BACK: usize = 0,
  PK_KV_BACK: usize = 0,
  PK_O_BACK: usize = 0,
  PK_FC_BACK: usize = 0,
  PK_PROJ_BACK: usize = 0;

/** Inputs of one micro-batch, int32, written by TypeScript: tokens (n, T), positions (P), targets (n, P). */
export let tokens: usize = 0,
  positions: usize = 0,
  targets: usize = 0;

// Row maps of one micro-batch, int32 (rows): see micro_batch.ts.
export let distinctSlot: usize = 0,
  distinctToken: usize = 0,
  distinctRole: usize = 0;
export let tokenToDistinct: usize = 0,
  queryToDistinct: usize = 0,
  queryToToken: usize = 0,
  identity: usize = 0;
export let tokenPosition: usize = 0,
  queryPosition: usize = 0;
/** (T + 1) index of the first prediction position at or after time t. */
export let firstQuery: usize = 0;
/** (n) of each sequence; (n P) of each prediction, and (Q) the predictions of a query row. */
export let sharedTokens: usize = 0,
  tokenRow: usize = 0,
  queryRow: usize = 0;
export let predictionToQuery: usize = 0,
  predictionCount: usize = 0;
/** cos and signed sin of RoPE, each (NCTX, HD), duplicated over the pair. */
export let ropeCos: usize = 0,
  ropeSin: usize = 0;

// Activations kept for the backward pass, per block (see block.ts), offsets in bytes within a block.
export let activations: usize = 0,
  activationBytes: usize = 0;
export let A_X: usize = 0,
  A_LN1: usize = 0,
  A_STATS1: usize = 0,
  A_Q: usize = 0,
  A_KV: usize = 0,
  A_ATT: usize = 0,
  A_Y: usize = 0,
  A_MID: usize = 0,
  A_LN2: usize = 0,
  A_STATS2: usize = 0,
  A_PRE: usize = 0,
  A_HIDDEN: usize = 0;
/** First block: projections of the distinct rows. Last block: ln_1 rows at the prediction positions. */
export let tableQ: usize = 0,
  tableKV: usize = 0,
  queryLn1: usize = 0;
/** Output of the last block (Q, D), its LayerNorm, logits (Q, VS). */
export let finalX: usize = 0,
  finalLn: usize = 0,
  finalStats: usize = 0,
  logits: usize = 0;
/** Row stride of logits: V rounded up to 4. */
export let VS: i32 = 0;

// Gradients of activations, shared by all blocks.
export let dX: usize = 0,
  dX2: usize = 0,
  dQ: usize = 0,
  dKV: usize = 0,
  dRow: usize = 0,
  dHidden: usize = 0,
  dTableQ: usize = 0,
  dTableKV: usize = 0,
  dScores: usize = 0;
/** Attention's scratch: keys and values of one head, transposed (HD, T rounded up to 8). */
export let keysT: usize = 0,
  valuesT: usize = 0;
/** Keys and values of one sequence (T, 2D) whose rows are in several places, their gradient, and their rows (T). */
export let pathKV: usize = 0,
  dPathKV: usize = 0,
  pathRow: usize = 0;

/** Diagonal and Kronecker factors of the Gauss-Newton matrix: gradients sent back from the logits (Q, VS). */
export let dLogits: usize = 0;
/** Sums of squared gradients, PARAMETERS float64. */
export let squares: usize = 0;
/** Kronecker factors only: their sums, FACTORS floats. */
export let factors: usize = 0;
/** What reaches the outputs of q, k and v (N, 3D). */
export let dQKV: usize = 0;
/** Input of the first block, its LayerNorm (N, D) and statistics (N, 2) at every token, repeated or not. */
export let tokenX: usize = 0,
  tokenLn1: usize = 0,
  tokenStats1: usize = 0;
/** Gradient of a LayerNorm's weight and bias from one sequence (2D). */
export let dLayerNorm: usize = 0;

/** Packing scratch for the left and, where it is not a weight, the right operand. */
export let scratchA: usize = 0,
  scratchB: usize = 0;
let cursor: f64 = 0;

/** Reserve `floats` 4-byte elements, 64-byte aligned, with 64 bytes of slack for vector reads past the end. */
function reserve(floats: f64): usize {
  const at = cursor;
  cursor += Math.ceil((floats * 4 + 64) / 64) * 64;
  return <usize>at;
}

let blockCursor: usize = 0;
function within(floats: f64): usize {
  const at = blockCursor;
  blockCursor += <usize>(Math.ceil((floats * 4 + 64) / 64) * 64);
  return at;
}

function planPacked(backward: bool): void {
  blockCursor = 0;
  PK_Q = within(packedSize(D, D));
  PK_KV = within(packedSize(D, 2 * D));
  PK_O = within(packedSize(D, D));
  PK_FC = within(packedSize(D, F));
  PK_PROJ = within(packedSize(F, D));
  if (backward) {
    PK_Q_BACK = within(packedSize(D, D));
    PK_KV_BACK = within(packedSize(2 * D, D));
    PK_O_BACK = within(packedSize(D, D));
    PK_FC_BACK = within(packedSize(F, D));
    PK_PROJ_BACK = within(packedSize(D, F));
  }
  packedBlockBytes = blockCursor;
  packedBlocks = reserve((<f64>packedBlockBytes * <f64>L) / 4);
  packedHead = reserve(packedSize(D, V));
  if (backward) packedHeadBack = reserve(packedSize(V, D));
}

function planActivations(backward: bool): void {
  const rows = <f64>NT;
  const d = <f64>D;
  const paddedContext = <f64>((NCTX + 7) & ~7); // attention works on keys eight at a time
  blockCursor = 0;
  A_X = within(rows * d);
  A_LN1 = within(rows * d);
  A_STATS1 = within(rows * 2);
  A_Q = within(rows * d);
  A_KV = within((rows + 4) * 2 * d); // attention transposes keys four at a time
  A_ATT = within(rows * <f64>H * paddedContext);
  A_Y = within(rows * d);
  A_MID = within(rows * d);
  A_LN2 = within(rows * d);
  A_STATS2 = within(rows * 2);
  A_HIDDEN = within(rows * <f64>F);
  A_PRE = activation_keeps_input() ? within(rows * <f64>F) : A_HIDDEN;
  activationBytes = blockCursor;
  activations = reserve((<f64>activationBytes * <f64>L) / 4);
  tableQ = reserve(rows * d);
  tableKV = reserve(rows * 2 * d);
  queryLn1 = reserve(rows * d);
  finalX = reserve(rows * d);
  finalLn = reserve(rows * d);
  finalStats = reserve(rows * 2);
  VS = (V + LANES - 1) & -LANES;
  logits = reserve(rows * <f64>VS);
  keysT = reserve(<f64>HD * paddedContext);
  pathKV = reserve(paddedContext * 2 * d);
  pathRow = reserve(paddedContext);
  if (!backward) return;
  dX = reserve(rows * d);
  dX2 = reserve(rows * d);
  dQ = reserve(rows * d);
  dKV = reserve(rows * 2 * d);
  dRow = reserve(rows * d);
  dHidden = reserve(rows * <f64>F);
  dTableQ = reserve(rows * d);
  dTableKV = reserve(rows * 2 * d);
  dScores = reserve(paddedContext * paddedContext);
  valuesT = reserve(<f64>HD * paddedContext);
  dPathKV = reserve(paddedContext * 2 * d);
}

function planFactors(): void {
  const rows = <f64>NT;
  const d = <f64>D;
  factors = reserve(FACTORS);
  dQKV = reserve(rows * 3 * d);
  tokenX = reserve(rows * d);
  tokenLn1 = reserve(rows * d);
  tokenStats1 = reserve(rows * 2);
  dLayerNorm = reserve(2 * d);
}

/**
 * Lay out the model that was written, and its micro-batch buffers. Returns the bytes of memory needed as a float64, so
 * that sizes beyond 4 GiB can be refused before memory grows. Traps if there is no activation of this code.
 */
export function plan(): f64 {
  HD = D / H;
  activation_select(ACTIVATION);

  P_ROLE = V * D;
  P_BLOCK = P_ROLE + ROLES * D;
  P_BLOCK_SIZE = 4 * D + 4 * D * D + 2 * F * D;
  P_LNF = P_BLOCK + L * P_BLOCK_SIZE;
  P_HEAD = TIED ? 0 : P_LNF + 2 * D;
  PARAMETERS = P_LNF + 2 * D + (TIED ? 0 : V * D);

  K_ROLE = V * V + D * D;
  K_BLOCK = K_ROLE + (ROLES > 0 ? ROLES * ROLES + D * D : 0);
  K_BLOCK_SIZE = 4 * D + 14 * D * D + 2 * F * F;
  K_LNF = K_BLOCK + L * K_BLOCK_SIZE;
  K_HEAD = K_LNF + 2 * D;
  FACTORS = K_HEAD + V * V + D * D;

  cursor = <f64>((__heap_base + 63) & ~63);
  const backward = GRADIENTS;
  if (backward) {
    gradient = reserve(PARAMETERS);
    gradientTotal = reserve(PARAMETERS);
  }
  if (MOMENTS) {
    firstMoment = reserve(PARAMETERS);
    secondMoment = reserve(PARAMETERS);
  }
  if (IVON) {
    mean = reserve(PARAMETERS);
    gradientSum = reserve(PARAMETERS);
    hessianSum = reserve(PARAMETERS);
  }

  const rows = <f64>NT;
  tokens = reserve(rows);
  positions = reserve(NCTX);
  targets = reserve(rows);
  distinctSlot = reserve(<f64>V * <f64>max(ROLES, 1));
  distinctToken = reserve(rows);
  distinctRole = reserve(rows);
  tokenToDistinct = reserve(rows);
  queryToDistinct = reserve(rows);
  queryToToken = reserve(rows);
  identity = reserve(rows + 1);
  tokenPosition = reserve(rows);
  queryPosition = reserve(rows);
  firstQuery = reserve(NCTX + 1);
  sharedTokens = reserve(rows);
  tokenRow = reserve(rows);
  queryRow = reserve(rows);
  predictionToQuery = reserve(rows);
  predictionCount = reserve(rows);
  ropeCos = reserve(<f64>NCTX * <f64>HD);
  ropeSin = reserve(<f64>NCTX * <f64>HD);
  scratchA = reserve(PACKED_A_FLOATS);
  const widest = max(max((KRONECKER ? 3 : 2) * D, F), V);
  if (backward) scratchB = reserve((rows + <f64>KC) * <f64>packedSize(1, widest));

  const twinned = cursor;
  parameters = reserve(PARAMETERS);
  planPacked(backward);
  planActivations(backward);
  tangents_place(CURVATURE ? <usize>(cursor - twinned) : 0);
  cursor += <f64>TANGENT;
  if (CURVATURE || KRONECKER) dLogits = reserve(rows * <f64>VS);
  if (CURVATURE) squares = reserve(2 * <f64>PARAMETERS);
  if (KRONECKER) planFactors();
  return cursor;
}
