/** What a posterior method is: one file of this folder defines each, and a line of `index.ts` registers it. */
import type { Config } from "../../config/schema.ts";
import type { TransformerOptions } from "../../core/layout.ts";
import type { TransformerShape } from "../../core/shape.ts";
import type { TransformerWith } from "../../core/transformer.ts";
import type { Batch } from "../../curvature/model.ts";
import type { RandomGenerator } from "../../random.ts";
import type { Safetensors } from "../../safetensors.ts";
import type { IvonCurvature } from "../../training/ivon.ts";
import type { PriorStructure } from "../gaussian/prior.ts";
import type { LaplaceEvidence } from "../laplace/evidence.ts";
import type { Posterior } from "../posterior.ts";

/** What a method takes of a run. */
export interface Needs<Model extends TransformerOptions> {
  /**
   * The parameters of one posterior: those of one checkpoint; of all members at its step; or of the last checkpoints that
   * one member has kept up to its step, so many of them.
   */
  checkpoints: "one" | "members" | { last: number };
  /** D, the batches that means over the training prompts are taken over. */
  data: boolean;
  /** What the model can do besides predict. */
  model: Model;
  /** Of an IVON run: what makes a checkpoint the posterior that the run trained. Default false. */
  ivonCurvature?: boolean;
}

/** Settings of a comparison of methods: each method makes its options of what matters to it. */
export interface MethodSettings {
  /** Steps of the methods that go on from a checkpoint; null: each method's own default. */
  fitSteps: number | null;
  /** Rate of `dropout`; null: the model's own, 0.1 if it was trained without. */
  dropout: number | null;
  /** Of which parameters the prior precision of Laplace methods is the same; null: of all. */
  priorStructure: PriorStructure | null;
}

/** What one posterior is made of. */
export interface FitInput<Options extends object, Model extends TransformerOptions = TransformerOptions> {
  config: Config;
  /** Whose prompts to go on with. */
  member: number;
  /** Optimiser steps that the checkpoint had done. */
  step: number;
  model: TransformerWith<Model>;
  /** Flat parameter vectors, as many as `needs.checkpoints` says. */
  checkpoints: readonly Float32Array[];
  ivon?: IvonCurvature;
  data: readonly Batch[];
  /** N, the number of terms of the likelihood. */
  trainingTerms: number;
  /** Draws that it will be asked for at a time. */
  nSamples: number;
  /** Root of the random numbers, and a stream of this posterior's own. */
  seed: number;
  rng: RandomGenerator;
  options: Options;
}

export interface Fitted {
  posterior: Posterior;
  /** N, if another than the one given. */
  trainingTerms?: number;
  evidence?: LaplaceEvidence;
}

export interface MethodDefinition<
  Name extends string = string,
  Options extends object = object,
  Model extends TransformerOptions = TransformerOptions,
> {
  /** As `--methods` and records call it. */
  name: Name;
  /** As figures call it. */
  label: string;
  /** One line, for the help. */
  summary: string;
  /**
   * What its spread comes from; figures draw the three apart. The `curvature` of the loss, the `trajectory` of steps on
   * from the checkpoint, or `nothing` that has to be fitted.
   */
  fits: "curvature" | "trajectory" | "nothing";
  /** Whether a comparison has it that does not name its methods. */
  byDefault: boolean;
  needs: Needs<Model>;
  /** Of its options, where they do not depend on the run. */
  defaults: Partial<Options>;
  /** The settings of a comparison that its options follow. */
  settings: readonly (keyof MethodSettings)[];
  /** Options by the settings of a comparison: only what matters, so that another setting leaves its results valid. */
  options(settings: MethodSettings, config: Config, checkpoint: { ivonCurvature: boolean }): Options;
  /**
   * @param draws as many as it will be asked for at a time
   * @throws RangeError for an option that there is none of, or outside its range, before anything is fitted
   */
  requireOptions(options: Options, draws: number): void;
  /** What the model has other than in training. Default: nothing. */
  shape?(options: Options): Partial<TransformerShape>;
  /** @throws RangeError for what only the fit shows to be wrong */
  fit(input: FitInput<Options, Model>): Fitted;
  /** `method` in the metadata of its saved posteriors, if not its name. */
  savedAs?: string;
  /** @throws RangeError if it is not a saved posterior of this method */
  load(saved: Safetensors): Posterior;
  /** What its results are called in a run in which its name would mislead. Default: its name. */
  nameIn?(config: Config): string | undefined;
  /** What a reader of results with these options has to know. Default: nothing. */
  remark?(options: Options, config: Config): string | undefined;
}
