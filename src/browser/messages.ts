/** Messages between the page and its Web Workers. */
import type { CoreModule } from "../core/module.ts";
import type { SegmentRequest, SegmentResult } from "../training/messages.ts";

export type ToWorker =
  | { kind: "core"; core: CoreModule }
  /** Its answer is one `done` or `failed`. */
  | { kind: "segment"; request: SegmentRequest }
  /** The running segment is to return at its next slice. */
  | { kind: "stop" }
  /** The share of its time that the worker may compute, above 0 and at most 1. */
  | { kind: "share"; share: number };

/** What a worker has done since its last message. */
export interface Progress {
  kind: "progress";
  member: number;
  step: number;
  /** Training loss of that step, nats. */
  loss: number;
  /** Tokens trained on. */
  tokens: number;
}

export type FromWorker =
  | Progress
  | { kind: "done"; result: SegmentResult }
  | { kind: "failed"; message: string };
