/** Events as `memorised/generalised/grokked`, or `memorised/grokked` without a pool; "-" is one that did not happen. */
export const inShort = ({ memorisedStep, generalisedStep, grokStep }) =>
  [memorisedStep, ...(generalisedStep === undefined ? [] : [generalisedStep]), grokStep]
    .map((step) => step ?? "-")
    .join("/");
