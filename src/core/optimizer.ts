/** What the optimisers have in common. */
import { FLOAT32, refuse, requireNonNegative } from "../validate.ts";
import type { DropoutKey } from "./dropout.ts";
import type { Gradients } from "./gradient.ts";
import type { ModelMemory } from "./memory.ts";
import type { Team } from "./team.ts";

/** Flat vectors: AdamW's two moments; IVON's momentum (a mean gradient) and its estimate h of the Hessian's diagonal. */
export interface Moments {
  first: Float32Array;
  second: Float32Array;
}

/** What one step tells. A loss that is NaN says that nothing was changed. */
export interface StepResult {
  /** Mean negative log-likelihood in nats before the step. */
  loss: number;
  /** Euclidean norm of its gradient. */
  gradientNorm: number;
}

/** What a transformer with an optimiser offers besides its steps. */
export interface Trainable extends Gradients {
  /** Copies of the optimiser's state; in `into`, if given. */
  getMoments(into?: Moments): Moments;
  /** @throws RangeError unless both have parameterCount elements */
  setMoments(moments: Moments): void;
  /** The threads that help with the gradients of its steps from now on; null: none. The steps have the same bytes. */
  setTeam(team: Team | null): void;
}

export function optimizerState(memory: ModelMemory): Omit<Trainable, keyof Gradients> {
  const { core } = memory;
  return {
    getMoments: (into) => ({
      first: memory.read(core.firstMomentPointer(), into?.first),
      second: memory.read(core.secondMomentPointer(), into?.second),
    }),
    setMoments({ first, second }) {
      memory.requireFlat("first moment", first);
      memory.requireFlat("second moment", second);
      memory.write(core.firstMomentPointer(), first);
      memory.write(core.secondMomentPointer(), second);
    },
    setTeam(team) {
      memory.team = team;
    },
  };
}

/** One that a schedule has made smaller than float32 can hold is 0 there: no step. */
export function requireLearningRate(learningRate: number): void {
  if (!Number.isFinite(Math.fround(requireNonNegative("learningRate", learningRate))))
    refuse("learningRate", learningRate, FLOAT32.allowed);
}

/** @throws TypeError for a step without masks on a model that has dropout */
export function requireMasks({ shape }: ModelMemory, method: string, key: DropoutKey | undefined): void {
  if (shape.dropout > 0 && !key)
    throw new TypeError(`dropout: got none, ${method} of a model with dropout ${shape.dropout} needs a key`);
}
