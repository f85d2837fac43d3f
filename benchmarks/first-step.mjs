/** Preloaded into `epigrok run`: a worker writes a line to standard output as soon as it has done a training step. */
import { writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

if (!isMainThread) {
  const { Instance } = WebAssembly;
  let told = false;
  // Called with `new`: a class, since arrow functions are no constructors.
  WebAssembly.Instance = class {
    constructor(...args) {
      const { exports } = new Instance(...args);
      const adamwStep = (...options) => {
        exports.adamwStep(...options);
        if (!told) writeSync(1, "first step\n");
        told = true;
      };
      this.exports = { ...exports, adamwStep };
    }
  };
}
