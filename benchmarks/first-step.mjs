/** Preloaded into `epigrok run`: a worker writes a line to standard output as soon as it has done a training step. */
import { writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

if (!isMainThread) {
  const { Transformer } = await import("../dist/core/transformer.js");
  const { trainStep } = Transformer.prototype;
  Transformer.prototype.trainStep = function (...args) {
    const result = trainStep.apply(this, args);
    writeSync(1, "first step\n");
    Transformer.prototype.trainStep = trainStep;
    return result;
  };
}
