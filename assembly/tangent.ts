// The tangent of a quantity is its derivative when the parameters move along the direction under way. Parameters, packed
// weights, activations and their gradients have a twin each when planned for curvature; with it, functions that take
// `tangents` carry tangents along (forward-over-reverse differentiation, Pearlmutter 1994).

/** Distance in bytes from a buffer to that of its tangent. */
export let TANGENT: usize = 0;

export function tangents_place(distance: usize): void {
  TANGENT = distance;
}

// @ts-ignore: decorator
@inline
export function tangent(buffer: usize): usize {
  return buffer + TANGENT;
}
