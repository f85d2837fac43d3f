// Token embedding, plus the optional embedding of the token's role (its place t mod ROLES within an example), and the
// row maps of a micro-batch, which say what is computed once.
//
// Without absolute positions the input of the first block depends on (token, role) only, so a micro-batch has at most
// V x ROLES distinct input rows. The first block's LayerNorm and projections act on those.
//
// A token's row depends, at every layer, on its sequence up to there only. With `share`, tokens that continue the prefix
// of the sequence before have a row of their own and the others use that sequence's: in a batch sorted by tokens each
// distinct prefix is computed once.
import {
  D, ROLES, distinctRole, distinctSlot, distinctToken, firstQuery, predictionCount, predictionToQuery, queryPosition,
  queryRow, queryToDistinct, queryToToken, sharedTokens, tokenPosition, tokenRow, tokenToDistinct, V,
} from "../layout";
import { addTo } from "../rows";

// @ts-ignore: decorator
@inline
function at(base: usize, i: i32): usize {
  return base + (<usize>i << 2);
}

/** Rows of the last call of embedding_rows: distinct (token, role), token and query rows. */
export let distinctRows: i32 = 0, tokenRows: i32 = 0, queryRows: i32 = 0;

/** Tokens at the start of sequence s that are those of the sequence before. */
function sharedPrefix(tokens: usize, s: i32, T: i32): i32 {
  if (s == 0) return 0;
  let t = 0;
  while (t < T && load<i32>(at(tokens, s * T + t)) == load<i32>(at(tokens, (s - 1) * T + t))) t++;
  return t;
}

function distinctRow(token: i32, role: i32): i32 {
  const slot = at(distinctSlot, token * max(ROLES, 1) + role);
  if (load<i32>(slot) < 0) {
    store<i32>(slot, distinctRows);
    store<i32>(at(distinctToken, distinctRows), token);
    store<i32>(at(distinctRole, distinctRows), role);
    distinctRows++;
  }
  return load<i32>(slot);
}

/**
 * Row maps of a micro-batch of n sequences of length T with P prediction positions. Rows are numbered in the order of
 * (sequence, time); sequence s has those of its tokens sharedTokens[s] .. T-1, and of its predictions from
 * firstQuery[sharedTokens[s]] on. tokenRow[s] + t and queryRow[s] + p are the rows of these.
 *   tokenToDistinct, tokenPosition (N); queryToToken, queryToDistinct, queryPosition, predictionCount (Q);
 *   sharedTokens, tokenRow, queryRow (n); predictionToQuery (n P); firstQuery (T + 1).
 */
export function embedding_rows(tokens: usize, positions: usize, n: i32, T: i32, P: i32, share: bool): void {
  const roles = max(ROLES, 1);
  memory.fill(distinctSlot, 0xff, <usize>(V * roles) << 2);
  distinctRows = 0;
  tokenRows = 0;
  queryRows = 0;
  for (let t = 0, p = 0; t <= T; t++) {
    while (p < P && load<i32>(at(positions, p)) < t) p++;
    store<i32>(at(firstQuery, t), p);
  }
  for (let s = 0; s < n; s++) {
    const shared = share ? sharedPrefix(tokens, s, T) : 0;
    store<i32>(at(sharedTokens, s), shared);
    store<i32>(at(tokenRow, s), tokenRows - shared);
    for (let t = shared; t < T; t++) {
      store<i32>(at(tokenToDistinct, tokenRows), distinctRow(load<i32>(at(tokens, s * T + t)), t % roles));
      store<i32>(at(tokenPosition, tokenRows), t);
      tokenRows++;
    }
    const first = load<i32>(at(firstQuery, shared));
    store<i32>(at(queryRow, s), queryRows - first);
    for (let p = 0; p < P; p++) {
      if (p < first) {
        const query = load<i32>(at(predictionToQuery, (s - 1) * P + p));
        store<i32>(at(predictionToQuery, s * P + p), query);
        store<i32>(at(predictionCount, query), load<i32>(at(predictionCount, query)) + 1);
        continue;
      }
      const t = load<i32>(at(positions, p));
      const row = load<i32>(at(tokenRow, s)) + t;
      store<i32>(at(queryToToken, queryRows), row);
      store<i32>(at(queryToDistinct, queryRows), load<i32>(at(tokenToDistinct, row)));
      store<i32>(at(queryPosition, queryRows), t);
      store<i32>(at(predictionToQuery, s * P + p), queryRows);
      store<i32>(at(predictionCount, queryRows), 1);
      queryRows++;
    }
  }
}

/** out (U, D) = wte[token] (+ wre[role]) of each distinct row. */
export function embedding_forward(out: usize, wte: usize, wre: usize, distinct: i32): void {
  const bytes = <usize>D << 2;
  for (let u = 0; u < distinct; u++) {
    memory.copy(out, wte + <usize>load<i32>(at(distinctToken, u)) * bytes, bytes);
    if (ROLES > 0) addTo(out, wre + <usize>load<i32>(at(distinctRole, u)) * bytes, D);
    out += bytes;
  }
}

/** dwte[token] += dout, dwre[role] += dout  for dout (U, D). */
export function embedding_backward(dwte: usize, dwre: usize, dout: usize, distinct: i32): void {
  const bytes = <usize>D << 2;
  for (let u = 0; u < distinct; u++) {
    addTo(dwte + <usize>load<i32>(at(distinctToken, u)) * bytes, dout, D);
    if (ROLES > 0) addTo(dwre + <usize>load<i32>(at(distinctRole, u)) * bytes, dout, D);
    dout += bytes;
  }
}
