/** A set of prompts (input indices and outputs), kept as 32-bit hashes in an open-addressing table. */
export class PromptSet {
  private readonly keys: Int32Array;
  private readonly used: Uint8Array;
  private readonly mask: number;

  /** @param capacity number of prompts that will be added at most */
  constructor(capacity: number) {
    // At most a quarter full, so that most look-ups end at once.
    const size = 2 ** Math.ceil(Math.log2(Math.max(4 * capacity, 16)));
    this.keys = new Int32Array(size);
    this.used = new Uint8Array(size);
    this.mask = size - 1;
  }

  /** Add a prompt; false if its hash was there already. */
  add(inputs: Int32Array, outputs: Int32Array): boolean {
    const key = promptKey(inputs, outputs);
    const slot = this.slot(key);
    if (this.used[slot]) return false;
    this.used[slot] = 1;
    this.keys[slot] = key;
    return true;
  }

  /** Whether a prompt is in the set; true also for the rare prompt whose hash is that of another one in it. */
  has(inputs: Int32Array, outputs: Int32Array): boolean {
    return this.used[this.slot(promptKey(inputs, outputs))] === 1;
  }

  /** The slot that holds the key, or the free one where it belongs. */
  private slot(key: number): number {
    let slot = key & this.mask;
    while (this.used[slot] && this.keys[slot] !== key) slot = (slot + 1) & this.mask;
    return slot;
  }
}

/** Multiply-xorshift hash over the examples, with the multipliers of MurmurHash3's finaliser. */
function promptKey(inputs: Int32Array, outputs: Int32Array): number {
  let h = 0x2545f491;
  for (let k = 0; k < inputs.length; k++) {
    h = Math.imul(h ^ inputs[k], 0x85ebca6b);
    h ^= h >>> 13;
    h = Math.imul(h ^ outputs[k], 0xc2b2ae35);
    h ^= h >>> 16;
  }
  return h;
}
