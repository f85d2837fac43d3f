// Token embedding, plus the optional embedding of the token's role (its place t mod ROLES within an example).
// Without absolute positions the input of the first block depends on (token, role) only, so a micro-batch has at most
// V x ROLES distinct input rows. The first block's LayerNorm and projections act on those; row maps lead back.
import {
  D, ROLES, distinctRole, distinctSlot, distinctToken, firstQuery, queryPosition, queryToDistinct,
  queryToToken, tokenPosition, tokenToDistinct, V,
} from "../layout";
import { addTo } from "../rows";

// @ts-ignore: decorator
@inline
function at(base: usize, i: i32): usize {
  return base + (<usize>i << 2);
}

/**
 * Row maps of a micro-batch of n sequences of length T with P prediction positions; returns the number U of distinct
 * (token, role) rows, numbered in order of appearance.
 *   tokenToDistinct (n T), tokenPosition (n T); queryToToken, queryToDistinct, queryPosition (n P); firstQuery (T).
 */
export function embedding_rows(tokens: usize, positions: usize, n: i32, T: i32, P: i32): i32 {
  const roles = max(ROLES, 1);
  memory.fill(distinctSlot, 0xff, <usize>(V * roles) << 2);
  let distinct = 0;
  for (let s = 0; s < n; s++) {
    for (let t = 0; t < T; t++) {
      const r = s * T + t;
      const token = load<i32>(at(tokens, r));
      const role = t % roles;
      const slot = at(distinctSlot, token * roles + role);
      let u = load<i32>(slot);
      if (u < 0) {
        u = distinct++;
        store<i32>(slot, u);
        store<i32>(at(distinctToken, u), token);
        store<i32>(at(distinctRole, u), role);
      }
      store<i32>(at(tokenToDistinct, r), u);
      store<i32>(at(tokenPosition, r), t);
    }
    for (let p = 0; p < P; p++) {
      const t = load<i32>(at(positions, p));
      const r = s * P + p;
      store<i32>(at(queryToToken, r), s * T + t);
      store<i32>(at(queryToDistinct, r), load<i32>(at(tokenToDistinct, s * T + t)));
      store<i32>(at(queryPosition, r), t);
    }
  }
  let p = 0;
  for (let t = 0; t < T; t++) {
    while (p < P && load<i32>(at(positions, p)) < t) p++;
    store<i32>(at(firstQuery, t), p);
  }
  return distinct;
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
