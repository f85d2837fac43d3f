/** A worker thread: a pure function of the request, plus a stop word and a progress display in shared memory. */
import { move, transferableSymbol, valueSymbol } from "piscina";
import { wideObstacle } from "../core/known-answer.ts";
import { Team } from "../core/team.ts";
import { assistant } from "../training/member-model.ts";
import type { SegmentResult } from "../training/messages.ts";
import { trainSegment } from "../training/segment.ts";
import type { AssistTask, SegmentTask, WidthsTask } from "./segments.ts";

/** The type is what arrives on the other side: Piscina unwraps the value and transfers its buffers. */
export default function runSegment({ request, core, stopWord, progress, team }: SegmentTask): SegmentResult {
  const stopFlag = new Int32Array(stopWord);
  const display = new Float64Array(progress);
  const slot = 2 * request.member;
  const result = trainSegment(request, {
    core,
    team: team && new Team(team),
    takeState: true,
    stop: () => Atomics.load(stopFlag, 0) !== 0,
    onStep: (step, loss) => {
      display[slot] = step;
      display[slot + 1] = loss;
    },
  });
  return transferred(result);
}

/** Helps with the steps of a segment on another thread until it is let go. */
export function assist({ config, core, team }: AssistTask): void {
  assistant(config, core).assist(new Team(team));
}

/** The known-answer test of a wide core. */
export function compareWidths({ wide, narrow }: WidthsTask): string | null {
  return wideObstacle(wide, narrow);
}

function transferred(result: SegmentResult): SegmentResult {
  const { parameters, firstMoment, secondMoment } = result.state;
  const predicted = result.predictions.flatMap(({ probabilities, posterior, cycle }) => [
    probabilities,
    ...(cycle ? [cycle] : []),
    ...(posterior ? [posterior.expectedEntropy, posterior.mutualInformation] : []),
  ]);
  const arrays = [parameters, firstMoment, secondMoment, ...predicted];
  // Predictions may be views of one buffer; a buffer can be listed only once.
  const buffers = [...new Set(arrays.map((array) => array.buffer as ArrayBuffer))];
  return move({ [transferableSymbol]: buffers, [valueSymbol]: result } as never) as unknown as SegmentResult;
}
