/** The model of a configuration, and its initial parameters. */
import type { Config } from "../config/schema.ts";
import type { ParameterInfo } from "../core/layout.ts";
import type { TransformerShape } from "../core/shape.ts";
import { normals, stream } from "../random.ts";
import { promptLength } from "../tasks/batch.ts";
import type { MemberState } from "./messages.ts";

/** The decoder for prompts of this configuration: one token per residue, as long as one prompt. */
export function transformerShape({ task, model }: Config): TransformerShape {
  return {
    dVocab: task.modulus,
    dModel: model.dModel,
    nHeads: model.nHeads,
    nLayers: model.nLayers,
    dMlp: model.dMlp,
    nCtx: promptLength(task.variables, task.examples),
    actFn: model.actFn,
    tiedEmbeddings: model.tiedEmbeddings,
    ropeBase: model.ropeBase,
    roles: model.roleEmbedding ? task.variables + 1 : 0,
    dropout: model.dropout,
  };
}

/**
 * Initial flat parameter vector of one member: LayerNorm weights 1 and biases 0, matrices normal with the standard
 * deviations of `model.initScheme`.
 */
export function initialParameters(
  parameters: readonly ParameterInfo[],
  { model, seed }: Config,
  member: number,
): Float32Array {
  const last = parameters[parameters.length - 1];
  const flat = new Float32Array(last.offset + last.length);
  const rng = stream(seed, member, "init");
  for (const { name, shape, offset, length } of parameters) {
    const values = flat.subarray(offset, offset + length);
    if (shape.length === 1) {
      values.fill(name.endsWith(".weight") ? 1 : 0);
      continue;
    }
    normals(rng, values);
    const std = standardDeviation(name, shape[1], model);
    for (let i = 0; i < length; i++) values[i] *= std;
  }
  return flat;
}

function standardDeviation(name: string, fanIn: number, model: Config["model"]): number {
  if (model.initScheme === "normal" || /\.wte\.|\.wre\./.test(name)) return model.initStd;
  const residual = name.endsWith(".attn.o.weight") || name.endsWith(".mlp.c_proj.weight");
  return Math.sqrt(1 / fanIn) / (residual ? Math.sqrt(2 * model.nLayers) : 1);
}

/** The state of a member before its first step, with the parameters it begins with. */
export function stateAtStart({ training }: Config, parameters: Float32Array): MemberState {
  return {
    step: 0,
    parameters,
    firstMoment: new Float32Array(parameters.length),
    secondMoment: new Float32Array(parameters.length).fill(training.ivon?.hessianInit ?? 0),
  };
}
