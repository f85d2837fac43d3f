/**
 * Threads that share the gradients of one model. The leader, which trains it, publishes parameters and batch in shared
 * memory; it and its assistants take one shard after the other; the leader adds them up in their order.
 *
 * The whole traffic hangs on one word, `CLAIM` = (round, next shard): a round begins when the leader writes (round, 0), a
 * shard is taken by the compare-and-exchange that raises it, and an assistant that was late for a round fails there,
 * whatever it has read in the meantime. A word of the other kinds is tagged with the round it is for.
 */
import type { Batch, Sharding } from "./batch.ts";
import type { DropoutKey } from "./dropout.ts";
import type { GradientTeam, ModelMemory } from "./memory.ts";
import { gradientOfShard } from "./shards.ts";

/** What a team has room for. */
export interface TeamSize {
  parameterCount: number;
  /** Of the largest batch: its tokens (B T), positions (P) and targets (B P). */
  tokens: number;
  positions: number;
  targets: number;
  shards: number;
  /** Gradients that can wait for the leader. */
  slots: number;
}

/** What another thread needs to take part. */
export interface TeamHandle {
  size: TeamSize;
  buffer: SharedArrayBuffer;
}

// Words of the control block.
const CLAIM = 0;
/** (round, shards that the leader has added up). */
const ADDED = 1;
const ASSISTANTS = 2;
/** Assistants that are asked to leave. */
const LEAVE = 3;
/** Not 0: all assistants are to leave. */
const OVER = 4;
/** Not 0: one was lost. */
const FAILED = 5;
const SHARDS = 6;
const SEQUENCES = 7;
const BATCH_SIZE = 8;
const LENGTH = 9;
const POSITIONS = 10;
/** 1 if the pass has dropout, then seed, stream and step. */
const DROPOUT = 11;
const WORDS = 16;

/** A waiting thread looks up now and then, should its wake-up have been missed or its partner have died. */
const PATIENCE_MS = 100;

/** As the next shard: none, whatever the number of shards. */
const NONE = 0xffff;

const tagged = (round: number, value: number) => (round << 16) | value;
const roundOf = (word: number) => word >>> 16;
const countOf = (word: number) => word & 0xffff;
const nextRound = (round: number) => (round + 1) & 0x7fff;

export class Team implements GradientTeam {
  readonly handle: TeamHandle;
  readonly #control: Int32Array;
  /** (slots): tagged shard number + 1 of the gradient that lies there. */
  readonly #ready: Int32Array;
  readonly #losses: Float64Array;
  readonly #parameters: Float32Array;
  readonly #gradients: Float32Array;
  readonly #tokens: Int32Array;
  readonly #positions: Int32Array;
  readonly #targets: Int32Array;
  /** The leader's own, for gradients that wait: fresh memory would cost more than the copy. */
  readonly #unused: Float32Array[] = [];

  /** @param from what the leader's thread has; absent: fresh memory */
  constructor(from: TeamHandle | TeamSize) {
    const size = "buffer" in from ? from.size : from;
    const { parameterCount, tokens, positions, targets, slots } = size;
    let bytes = 0;
    const place = (words: number) => {
      const at = bytes;
      bytes += Math.ceil(words / 2) * 8;
      return at;
    };
    const at = {
      control: place(WORDS),
      ready: place(slots),
      losses: place(2 * slots),
      parameters: place(parameterCount),
      gradients: place(slots * parameterCount),
      tokens: place(tokens),
      positions: place(positions),
      targets: place(targets),
    };
    const buffer = "buffer" in from ? from.buffer : new SharedArrayBuffer(bytes);
    this.handle = { size, buffer };
    this.#control = new Int32Array(buffer, at.control, WORDS);
    this.#ready = new Int32Array(buffer, at.ready, slots);
    this.#losses = new Float64Array(buffer, at.losses, slots);
    this.#parameters = new Float32Array(buffer, at.parameters, parameterCount);
    this.#gradients = new Float32Array(buffer, at.gradients, slots * parameterCount);
    this.#tokens = new Int32Array(buffer, at.tokens, tokens);
    this.#positions = new Int32Array(buffer, at.positions, positions);
    this.#targets = new Int32Array(buffer, at.targets, targets);
  }

  /** For the next segment, once all assistants have left. */
  reset(): void {
    this.#control.fill(0);
  }

  /** Whether anybody would help with a gradient that begins now. */
  helped(): boolean {
    return Atomics.load(this.#control, ASSISTANTS) > 0;
  }

  /** Lets one assistant go, between two shards. */
  release(): void {
    Atomics.add(this.#control, LEAVE, 1);
    Atomics.notify(this.#control, CLAIM);
  }

  /** Lets all assistants go: the segment has ended. */
  dissolve(): void {
    Atomics.store(this.#control, OVER, 1);
    this.#wakeAll();
  }

  /** Whether an assistant was lost: the memory is not to be used again. */
  failed(): boolean {
    return Atomics.load(this.#control, FAILED) !== 0;
  }

  /** Tells the leader that an assistant is lost, with whatever shard it had. */
  fail(): void {
    Atomics.store(this.#control, FAILED, 1);
    this.dissolve();
  }

  #wakeAll(): void {
    Atomics.notify(this.#control, CLAIM);
    Atomics.notify(this.#control, ADDED);
    for (let slot = 0; slot < this.#ready.length; slot++) Atomics.notify(this.#ready, slot);
  }

  /**
   * The leader's part of one gradient: adds all shards to the core's total, in their order, and returns the sum of their
   * losses.
   *
   * @throws Error if an assistant was lost
   */
  lead(memory: ModelMemory, batch: Batch, dropout: DropoutKey | undefined, sharding: Sharding): number {
    const { shards } = sharding;
    const round = nextRound(roundOf(Atomics.load(this.#control, CLAIM)));
    this.#publish(memory, batch, dropout, sharding, round);
    /** Own gradients that are not their turn yet. */
    const early = new Map<number, { loss: number; gradient: Float32Array }>();
    let added = 0;
    let loss = 0;
    const add = (shardLoss: number) => {
      loss += shardLoss;
      memory.core.addToTotal();
      added++;
      Atomics.store(this.#control, ADDED, tagged(round, added));
      Atomics.notify(this.#control, ADDED);
    };
    while (added < shards) {
      const own = early.get(added);
      if (own) {
        early.delete(added);
        memory.setGradient(own.gradient);
        this.#unused.push(own.gradient);
        add(own.loss);
        continue;
      }
      const slot = added % this.#ready.length;
      const seen = Atomics.load(this.#ready, slot);
      if (seen === tagged(round, added + 1)) {
        memory.setGradient(this.#gradient(slot));
        add(this.#losses[slot]);
        continue;
      }
      const shard = this.#claim(round);
      if (shard !== null) {
        const shardLoss = gradientOfShard(memory, batch, dropout, sharding, shard);
        if (shard === added) add(shardLoss);
        else early.set(shard, { loss: shardLoss, gradient: memory.gradient(this.#unused.pop()) });
        continue;
      }
      if (this.failed()) throw new Error("a thread that helped with this member's steps has died");
      Atomics.wait(this.#ready, slot, seen, PATIENCE_MS);
    }
    return loss;
  }

  #publish(
    memory: ModelMemory,
    batch: Batch,
    dropout: DropoutKey | undefined,
    { shards, sequences }: Sharding,
    round: number,
  ): void {
    const control = this.#control;
    // Nothing can be taken while the description of the round is half written.
    Atomics.store(control, CLAIM, tagged(round, NONE));
    this.#ready.fill(0);
    this.#parameters.set(memory.parametersView());
    this.#tokens.set(batch.tokens);
    this.#positions.set(batch.positions);
    this.#targets.set(batch.targets);
    control[SHARDS] = shards;
    control[SEQUENCES] = sequences;
    control[BATCH_SIZE] = batch.batchSize;
    control[LENGTH] = batch.length;
    control[POSITIONS] = batch.positions.length;
    control.set(dropout ? [1, dropout.seed, dropout.stream, dropout.step] : [0, 0, 0, 0], DROPOUT);
    Atomics.store(control, ADDED, tagged(round, 0));
    Atomics.store(control, CLAIM, tagged(round, 0));
    Atomics.notify(control, CLAIM);
  }

  /** The next shard of this round; null once all are taken, or the round is over. */
  #claim(round: number): number | null {
    const control = this.#control;
    for (;;) {
      const word = Atomics.load(control, CLAIM);
      if (roundOf(word) !== round || countOf(word) >= control[SHARDS]) return null;
      if (Atomics.compareExchange(control, CLAIM, word, word + 1) === word) return countOf(word);
    }
  }

  #gradient(slot: number): Float32Array {
    const { parameterCount } = this.handle.size;
    return this.#gradients.subarray(slot * parameterCount, (slot + 1) * parameterCount);
  }

  /**
   * An assistant's life: shards of one round after the other, until it is released or the team is dissolved.
   *
   * @param memory a model of the same shape, with gradients
   */
  assist(memory: ModelMemory): void {
    const control = this.#control;
    Atomics.add(control, ASSISTANTS, 1);
    try {
      /** The round whose parameters and batch this thread has; -1: none. */
      let known = -1;
      let job: { batch: Batch; dropout: DropoutKey | undefined; sharding: Sharding } | undefined;
      while (!this.#leaving()) {
        const word = Atomics.load(control, CLAIM);
        const round = roundOf(word);
        if (countOf(word) >= control[SHARDS]) {
          Atomics.wait(control, CLAIM, word, PATIENCE_MS);
          continue;
        }
        if (known !== round || !job) {
          job = this.#read(memory);
          known = round;
        }
        const shard = this.#claim(round);
        if (shard === null) {
          // What was read may be of two rounds.
          known = -1;
          continue;
        }
        const loss = gradientOfShard(memory, job.batch, job.dropout, job.sharding, shard);
        if (!this.#deliver(memory, round, shard, loss)) return;
      }
    } finally {
      Atomics.sub(control, ASSISTANTS, 1);
    }
  }

  /** Whether this assistant is to go. */
  #leaving(): boolean {
    const control = this.#control;
    if (Atomics.load(control, OVER) !== 0) return true;
    for (;;) {
      const asked = Atomics.load(control, LEAVE);
      if (asked === 0) return false;
      if (Atomics.compareExchange(control, LEAVE, asked, asked - 1) === asked) return true;
    }
  }

  #read(memory: ModelMemory) {
    const control = this.#control;
    const [batchSize, length, positions] = control.subarray(BATCH_SIZE, POSITIONS + 1);
    const [masked, seed, stream, step] = control.subarray(DROPOUT, DROPOUT + 4);
    memory.setParameters(this.#parameters);
    return {
      batch: {
        tokens: this.#tokens.slice(0, batchSize * length),
        batchSize,
        length,
        positions: this.#positions.slice(0, positions),
        targets: this.#targets.slice(0, batchSize * positions),
      },
      dropout: masked ? { seed: seed >>> 0, stream: stream >>> 0, step: step >>> 0 } : undefined,
      sharding: { shards: control[SHARDS], sequences: control[SEQUENCES] },
    };
  }

  /** Hands a gradient over once its slot is free. @returns false if the team was dissolved before. */
  #deliver(memory: ModelMemory, round: number, shard: number, loss: number): boolean {
    const control = this.#control;
    const slots = this.#ready.length;
    for (;;) {
      if (Atomics.load(control, OVER) !== 0) return false;
      const added = Atomics.load(control, ADDED);
      if (shard < countOf(added) + slots) break;
      Atomics.wait(control, ADDED, added, PATIENCE_MS);
    }
    const slot = shard % slots;
    this.#gradient(slot).set(memory.gradientView());
    this.#losses[slot] = loss;
    Atomics.store(this.#ready, slot, tagged(round, shard + 1));
    Atomics.notify(this.#ready, slot);
    return true;
  }
}
