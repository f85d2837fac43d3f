/**
 * A Web Worker that runs segments. It hears messages only between two calls, and static hosts allow no shared memory, so
 * a segment is run in slices: the state that one returns is where the next one goes on, with the same bytes.
 */
import type { CoreModule } from "../core/module.ts";
import { messageOf } from "../errors.ts";
import type { SegmentRequest, SegmentResult } from "../training/messages.ts";
import { trainSegment } from "../training/segment.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

/** How long a stop may have to wait. Copying the state in and out takes far less. */
const SLICE_MS = 50;

/** What the DOM's types lack of a worker's scope. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
}
const scope = globalThis as unknown as WorkerScope;

let core: CoreModule | undefined;
let stopping = false;
let share = 1;
/** Milliseconds of rest that the slices so far ask for. */
let owed = 0;

scope.onmessage = ({ data }) => {
  switch (data.kind) {
    case "core":
      core = data.core;
      return;
    case "stop":
      stopping = true;
      return;
    case "share":
      share = data.share;
      return;
    case "segment":
      stopping = false;
      run(data.request).then(
        (result) => scope.postMessage({ kind: "done", result }),
        (error) => scope.postMessage({ kind: "failed", message: messageOf(error) }),
      );
  }
};

async function run(request: SegmentRequest): Promise<SegmentResult> {
  const { member, toStep } = request;
  const before = { tokens: 0, trainSeconds: 0, evaluationSeconds: 0 };
  let { state, carried } = request;
  for (;;) {
    await rest(owed);
    const began = performance.now();
    const result = slice({ ...request, state, carried }, began + SLICE_MS);
    const { tokens } = result;
    before.tokens += tokens;
    before.trainSeconds += result.trainSeconds;
    before.evaluationSeconds += result.evaluationSeconds;
    state = result.state;
    carried = result.sums;
    scope.postMessage({ kind: "progress", member, step: state.step, loss: result.loss, tokens });
    owed = (performance.now() - began) * (1 / share - 1);
    if (state.step === toStep || result.nonFinite || stopping) return { ...result, ...before };
  }
}

/** One step at least, unless the segment is to stop. */
function slice(request: SegmentRequest, until: number): SegmentResult & { loss: number } {
  if (!core) throw new Error("a segment came before the core");
  let loss = Number.NaN;
  const result = trainSegment(request, {
    core,
    takeState: true,
    stop: () => stopping || (!Number.isNaN(loss) && performance.now() >= until),
    onStep: (_, stepLoss) => {
      loss = stepLoss;
    },
  });
  return { ...result, loss };
}

/** Lets messages in. Timers of 0 ms wait for 4 once they are nested; a message of one's own does not. */
function rest(ms: number): Promise<void> {
  return new Promise((resolve) => {
    if (ms >= 1) {
      setTimeout(resolve, ms);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
