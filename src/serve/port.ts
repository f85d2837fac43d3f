/** Where pages are, unless told otherwise: an address that is the same after a restart. */
export const PORT = 8473;
