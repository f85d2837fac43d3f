// The micro-batch under way, and its rows, which say what is computed once:
//   U distinct (token, role) rows: without absolute positions the input of the first block depends on these only, and so
//     do its LayerNorm and its projections to q, k, v;
//   N token rows: everything else, except
//   Q query rows: in the last block queries, attention output and MLP are needed at predictions only.
//
// A token's row depends, at every layer, on its sequence up to there only. With `sharing`, tokens that continue the prefix
// of the sequence before have a row of their own and the others use that sequence's: in a batch sorted by tokens each
// distinct prefix is computed once. Otherwise N = n T and Q = n P.
// prettier-ignore
import {
  ROLES, V, distinctRole, distinctSlot, distinctToken, firstQuery, positions, predictionCount,
  predictionToQuery, queryPosition, queryRow, queryToDistinct, queryToToken, sharedTokens, tokenPosition,
  tokenRow, tokenToDistinct, tokens,
} from "./layout";
import { at } from "./rows";

export let U: i32 = 0,
  N: i32 = 0,
  Q: i32 = 0;
export let sequences: i32 = 0,
  time: i32 = 0,
  predictions: i32 = 0;
export let sharing: bool = false;

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
    store<i32>(slot, U);
    store<i32>(at(distinctToken, U), token);
    store<i32>(at(distinctRole, U), role);
    U++;
  }
  return load<i32>(slot);
}

/**
 * Row maps of the micro-batch in `tokens` and `positions`: n sequences of length T with P predictions each. Rows are
 * numbered in the order of (sequence, time); sequence s has those of its tokens sharedTokens[s] .. T-1, and of its
 * predictions from firstQuery[sharedTokens[s]] on. tokenRow[s] + t and queryRow[s] + p are the rows of these.
 *   tokenToDistinct, tokenPosition (N); queryToToken, queryToDistinct, queryPosition, predictionCount (Q);
 *   sharedTokens, tokenRow, queryRow (n); predictionToQuery (n P); firstQuery (T + 1).
 */
export function micro_batch_rows(n: i32, T: i32, P: i32, share: bool): void {
  sequences = n;
  time = T;
  predictions = P;
  sharing = share;
  const roles = max(ROLES, 1);
  memory.fill(distinctSlot, 0xff, (<usize>(V * roles)) << 2);
  U = 0;
  N = 0;
  Q = 0;
  for (let t = 0, p = 0; t <= T; t++) {
    while (p < P && load<i32>(at(positions, p)) < t) p++;
    store<i32>(at(firstQuery, t), p);
  }
  for (let s = 0; s < n; s++) {
    const shared = share ? sharedPrefix(tokens, s, T) : 0;
    store<i32>(at(sharedTokens, s), shared);
    store<i32>(at(tokenRow, s), N - shared);
    for (let t = shared; t < T; t++) {
      store<i32>(at(tokenToDistinct, N), distinctRow(load<i32>(at(tokens, s * T + t)), t % roles));
      store<i32>(at(tokenPosition, N), t);
      N++;
    }
    const first = load<i32>(at(firstQuery, shared));
    store<i32>(at(queryRow, s), Q - first);
    for (let p = 0; p < P; p++) {
      if (p < first) {
        const query = load<i32>(at(predictionToQuery, (s - 1) * P + p));
        store<i32>(at(predictionToQuery, s * P + p), query);
        store<i32>(at(predictionCount, query), load<i32>(at(predictionCount, query)) + 1);
        continue;
      }
      const t = load<i32>(at(positions, p));
      const row = load<i32>(at(tokenRow, s)) + t;
      store<i32>(at(queryToToken, Q), row);
      store<i32>(at(queryToDistinct, Q), load<i32>(at(tokenToDistinct, row)));
      store<i32>(at(queryPosition, Q), t);
      store<i32>(at(predictionToQuery, s * P + p), Q);
      store<i32>(at(predictionCount, Q), 1);
      Q++;
    }
  }
}
