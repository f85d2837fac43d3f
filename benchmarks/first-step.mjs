/**
 * Preloaded into `epigrok run --preset quick`: a worker writes a line to standard output as soon as it has done a training
 * step.
 */
import { writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

/** Of the preset; the known-answer test of a wide core, on the same thread, has another one. */
const WEIGHT_DECAY = 1;

if (!isMainThread) {
  const { Instance } = WebAssembly;
  let told = false;
  // Called with `new`: a class, since arrow functions are no constructors.
  WebAssembly.Instance = class {
    constructor(...args) {
      const { exports } = new Instance(...args);
      const adamwStep = (...options) => {
        exports.adamwStep(...options);
        if (told || options[2] !== WEIGHT_DECAY) return;
        writeSync(1, "first step\n");
        told = true;
      };
      this.exports = { ...exports, adamwStep };
    }
  };
}
