/** Defaults that worker threads need as well, which do not load the schema. */

/** Largest change of a parameter in one step of IVON, in units of the learning rate. */
export const IVON_CLIP_RADIUS = 0.02;
