/** The Web Workers of one run: what threads are on Node. */
import type { CoreModule } from "../core/module.ts";
import type { SegmentRequest, SegmentResult } from "../training/messages.ts";
import type { FromWorker, Progress, ToWorker } from "./messages.ts";

export interface WorkersOptions {
  count: number;
  core: CoreModule;
  /** Makes a worker that runs `worker.ts`. */
  start: () => Worker;
  progress: (progress: Progress) => void;
}

interface Pending {
  resolve: (result: SegmentResult) => void;
  reject: (error: Error) => void;
}

export class WebWorkers {
  readonly count: number;
  readonly #options: WorkersOptions;
  /** With no segment under way. */
  readonly #idle: Worker[] = [];
  readonly #busy = new Map<Worker, Pending>();
  #stopped = false;
  #share = 1;

  constructor(options: WorkersOptions) {
    this.count = options.count;
    this.#options = options;
    for (let i = 0; i < options.count; i++) this.#idle.push(this.#start());
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /**
   * To be called for at most `count` segments at a time.
   * Rejects if the segment throws or its worker dies, which is replaced.
   */
  runSegment(request: SegmentRequest): Promise<SegmentResult> {
    const worker = this.#idle.pop();
    if (!worker) return Promise.reject(new Error("every worker has a segment"));
    return new Promise((resolve, reject) => {
      this.#busy.set(worker, { resolve, reject });
      send(worker, { kind: "segment", request });
    });
  }

  /** Makes the running segments return within a slice. No more are to be begun before `resume`. */
  stop(): void {
    this.#stopped = true;
    for (const worker of this.#busy.keys()) send(worker, { kind: "stop" });
  }

  resume(): void {
    this.#stopped = false;
  }

  /** @param share of the time that each worker computes, above 0 and at most 1 */
  setShare(share: number): void {
    this.#share = share;
    for (const worker of [...this.#idle, ...this.#busy.keys()]) send(worker, { kind: "share", share });
  }

  /** Ends the workers at once; running segments are rejected. */
  close(): void {
    this.#stopped = true;
    for (const worker of [...this.#idle, ...this.#busy.keys()]) worker.terminate();
    for (const { reject } of this.#busy.values()) reject(new Error("the workers were ended"));
    this.#idle.length = 0;
    this.#busy.clear();
  }

  #start(): Worker {
    const worker = this.#options.start();
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#receive(worker, data);
    worker.onerror = ({ message }) => this.#lose(worker, message || "it could not be started");
    worker.onmessageerror = () => this.#lose(worker, "its message could not be read");
    send(worker, { kind: "core", core: this.#options.core });
    if (this.#share < 1) send(worker, { kind: "share", share: this.#share });
    return worker;
  }

  #receive(worker: Worker, message: FromWorker): void {
    if (message.kind === "progress") {
      this.#options.progress(message);
      return;
    }
    const pending = this.#busy.get(worker);
    if (!pending) return;
    this.#busy.delete(worker);
    this.#idle.push(worker);
    if (message.kind === "done") pending.resolve(message.result);
    else pending.reject(new Error(message.message));
  }

  #lose(worker: Worker, why: string): void {
    worker.terminate();
    const pending = this.#busy.get(worker);
    this.#busy.delete(worker);
    const place = this.#idle.indexOf(worker);
    if (place >= 0) this.#idle.splice(place, 1);
    // One that dies without work would die again and again.
    if (pending) this.#idle.push(this.#start());
    pending?.reject(new Error(`a worker died: ${why}`));
  }
}

const send = (worker: Worker, message: ToWorker) => worker.postMessage(message);
