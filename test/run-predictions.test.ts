/** What predictions/ holds. */
import { expect, it } from "vitest";
import type { MemberEvaluation } from "../src/pool/controller.ts";
import { encodePredictions } from "../src/run/predictions.ts";
import { decodeSafetensors } from "../src/safetensors.ts";

const [positions, classes] = [2, 3];

/** Each value tells its member, set, prompt and position. */
function evaluationOf(member: number): MemberEvaluation {
  const set = (name: "unseenTasks" | "trainPrompts", prompts: number) => ({
    set: name,
    probabilities: Float32Array.from({ length: prompts * positions * classes }, (_, i) => {
      const row = Math.floor(i / classes);
      return 1000 * member + 100 * prompts + row;
    }),
  });
  const cycle = Float32Array.from({ length: 4 * classes }, (_, i) => 1000 * member + i);
  return {
    member,
    step: 5,
    predictions: [{ ...set("unseenTasks", 4), cycle }, set("trainPrompts", 2)],
  } as MemberEvaluation;
}

it("keeps all prompts of each probe set, of which that of a small pool has fewer", () => {
  const members = [0, 1].map(evaluationOf);
  const { tensors } = decodeSafetensors(
    encodePredictions(5, members, "last", { positions, classes }, "a run"),
  );
  const [unseen, pool] = ["unseenTasks", "trainPrompts"].map((name) => tensors.get(name)!);
  expect(unseen.shape).toEqual([2, 4, 3]);
  expect(pool.shape).toEqual([2, 2, 3]);
  expect([...pool.data]).toEqual([201, 203, 1201, 1203].flatMap((value) => [value, value, value]));
  const all = decodeSafetensors(encodePredictions(5, members, "all", { positions, classes }, "a run"));
  expect(all.tensors.get("trainPrompts")!.shape).toEqual([2, 2, 2, 3]);
});

it("keeps what prompts say that are asked back, if all members were asked", () => {
  const members = [0, 1].map(evaluationOf);
  const encoded = (which: "last" | "all", parts: MemberEvaluation[]) =>
    decodeSafetensors(encodePredictions(5, parts, which, { positions, classes }, "a run")).tensors;
  for (const which of ["last", "all"] as const) {
    const kept = encoded(which, members).get("unseenTasksCycle")!;
    expect(kept.shape).toEqual([2, 4, 3]);
    expect([...kept.data]).toEqual([0, 1000].flatMap((m) => Array.from({ length: 12 }, (_, i) => m + i)));
  }
  const [{ predictions, ...rest }, other] = members;
  const older = { ...rest, predictions: predictions.map(({ cycle, ...each }) => each) };
  expect([...encoded("last", [older, other]).keys()]).toEqual(["unseenTasks", "trainPrompts"]);
});
