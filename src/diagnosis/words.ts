/** A diagnosis in plain words. */
import type { DiagnosisResult } from "./diagnose.ts";

/** Up to four sentences, without line breaks. */
export function diagnosisWords(result: DiagnosisResult): string {
  const { evaluations, state, probability, alarmStep, estimatedAccuracy, collapseStep } = result;
  const { step, accuracy, seenAccuracy, members } = evaluations.at(-1)!;
  const { value, low, high } = estimatedAccuracy;
  return [
    `At step ${step}: ${state}, with probability ${fixed(probability)}.`,
    `Estimated accuracy on unseen tasks ${fixed(value)}, from ${fixed(low)} to ${fixed(high)}${known(accuracy, seenAccuracy)}.`,
    alarmStep === null
      ? "No three evaluations in a row are generalising."
      : `Generalising from step ${alarmStep} on${state === "generalising" ? "" : ", but not now"}.`,
    members === 1
      ? "One member has no mutual information: two or more can be compared."
      : collapseStep === null
        ? "Mutual information has not collapsed."
        : `Mutual information collapsed at step ${collapseStep}.`,
  ].join(" ");
}

function known(accuracy: number | null, seenAccuracy: number | null): string {
  const parts = [
    ...(accuracy === null ? [] : [`with labels ${fixed(accuracy)}`]),
    ...(seenAccuracy === null ? [] : [`on seen tasks ${fixed(seenAccuracy)}`]),
  ];
  return parts.length === 0 ? "" : ` (${parts.join(", ")})`;
}

const fixed = (value: number) => value.toFixed(2);
