// Token embedding, plus the optional embedding of the token's role (its place t mod ROLES within an example), of the
// micro-batch's distinct rows.
import { D, ROLES, distinctRole, distinctToken } from "../layout";
import { U } from "../micro_batch";
import { addTo, copyRow, mapped } from "../rows";
import { tangent } from "../tangent";

/** out (U, D) = wte[token] (+ wre[role]) of each distinct row; with `tangents` also out'. */
export function embedding_forward(out: usize, wte: usize, wre: usize, tangents: bool): void {
  if (tangents) embedding_forward(tangent(out), tangent(wte), tangent(wre), false);
  const bytes = (<usize>D) << 2;
  for (let u = 0; u < U; u++) {
    copyRow(out, wte + mapped(distinctToken, u) * bytes, bytes);
    if (ROLES > 0) addTo(out, wre + mapped(distinctRole, u) * bytes, D);
    out += bytes;
  }
}

/** dwte[token] += dout, dwre[role] += dout  for dout (U, D); with `tangents` dout' instead. */
export function embedding_backward(dwte: usize, dwre: usize, dout: usize, tangents: bool): void {
  if (tangents) dout = tangent(dout);
  const bytes = (<usize>D) << 2;
  for (let u = 0; u < U; u++) {
    addTo(dwte + mapped(distinctToken, u) * bytes, dout, D);
    if (ROLES > 0) addTo(dwre + mapped(distinctRole, u) * bytes, dout, D);
    dout += bytes;
  }
}
