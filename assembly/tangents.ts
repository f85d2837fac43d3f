// Where tangents lie: the tangent of a quantity is its derivative in the direction under way. Parameters, packed weights,
// activations and their gradients have a twin each when planned for curvature.

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
