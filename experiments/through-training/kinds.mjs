/** What the runs of the sweep are, told by their settings. */
export const KINDS = {
  pool: ({ task, training, model }) =>
    task.promptPool > 0 && task.inputFraction === 1 && training.optimizer === "adamw" && model.dropout === 0,
  "fresh prompts": ({ task }) => task.promptPool === 0,
  "pool, a part of the inputs": ({ task }) => task.inputFraction < 1,
  "IVON from the start": ({ training }) => training.optimizer === "ivon",
  "dropout from the start": ({ model }) => model.dropout > 0,
};

export const kindOf = ({ config }) => Object.keys(KINDS).find((kind) => KINDS[kind](config));
export const isPool = (run) => kindOf(run) === "pool";
