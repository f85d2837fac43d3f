/** What a run tells while it goes on. */
import type { Config } from "../config/schema.ts";
import type { CoreModule } from "../core/module.ts";
import type { MemberFailure } from "../pool/controller.ts";
import type { MetricsRecord, References, TimingRecord } from "./records.ts";

export interface RunObserver {
  started?(start: RunStart): void;
  /** After every evaluation, once it is on disk. `records` holds all evaluations, `record` is the last of them. */
  evaluated?(record: MetricsRecord, timing: TimingRecord, records: readonly MetricsRecord[]): void;
  memberFailed?(failure: MemberFailure): void;
  warned?(message: string): void;
}

export interface RunStart {
  runDir: string;
  config: Config;
  core: Pick<CoreModule, "math" | "simd" | "narrowBecause">;
  workers: number;
  /** Threads that share the steps of one member. */
  threadsPerMember: number;
  /** Evaluations of an earlier, interrupted part of the run. */
  records: readonly MetricsRecord[];
  /** Step of each member where this part starts. */
  memberSteps: readonly number[];
  /** The step a member is at and its loss in nats, live; loss NaN before the first step. */
  progress: (member: number) => { step: number; loss: number };
  references: () => References;
}
