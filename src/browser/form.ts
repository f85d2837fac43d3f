/** The form of the settings: what it shows, what is entered, and what is wrong with it. */
import type { Config } from "../config/schema.ts";
import { element } from "./elements.ts";
import { type Settings, settingsOf, valueAt, withSetting } from "./settings.ts";

type Field = HTMLInputElement | HTMLSelectElement;

export class SettingsForm {
  readonly #form = element("settings", HTMLFormElement);
  #settings: Settings = new Map();

  /** @param changed called with all settings after each entry */
  constructor(changed: (settings: Settings) => void) {
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#form.addEventListener("change", ({ target }) => {
      const field = target as Field;
      const before = this.#settings;
      this.#settings = withSetting(before, field.name, entered(field));
      if (field.name === "task.modulus") this.#keepShares(before);
      changed(this.#settings);
    });
  }

  /** Shows a configuration: one that has passed all checks. */
  show(config: Config): void {
    this.#settings = settingsOf(config);
    this.#fill(config);
    const inForm = new Set(this.#fields().map(({ name }) => name));
    const others = [...this.#settings].filter(([key]) => !inForm.has(key));
    const list = others.map(([key, value]) => `${key} = ${JSON.stringify(value)}`).join(", ");
    element("others").textContent = list === "" ? "" : `Also set: ${list}. `;
  }

  /** Marks the fields that a message is about, or none. */
  mark(message: string): void {
    for (const field of this.#fields())
      field.setAttribute(
        "aria-invalid",
        String(message.split("\n").some((line) => line.startsWith(`${field.name}:`))),
      );
  }

  /** Of another modulus, about the same shares of its tasks in training and of its prompts in the pool. */
  #keepShares(before: Settings): void {
    const numbers = (of: Settings) => {
      const at = (key: string, standard: number) => Number(of.get(key) ?? standard);
      return {
        p: at("task.modulus", 29),
        tasks: at("task.trainTasks", 23),
        pool: at("task.promptPool", 5500),
      };
    };
    const { p, tasks, pool } = numbers(before);
    const next = numbers(this.#settings).p;
    const now = Math.max(1, Math.min(next - 2, Math.round((tasks * (next - 1)) / (p - 1))));
    const prompts = (modulus: number, trained: number) => trained * modulus * (modulus - 1);
    const share = pool / prompts(p, tasks);
    this.#settings = withSetting(this.#settings, "task.trainTasks", now);
    if (pool > 0)
      this.#settings = withSetting(
        this.#settings,
        "task.promptPool",
        Math.max(512, 100 * Math.round((share * prompts(next, now)) / 100)),
      );
  }

  #fill(config: Config): void {
    for (const field of this.#fields()) {
      const value = String(valueAt(config, field.name));
      if (field instanceof HTMLSelectElement && ![...field.options].some((option) => option.value === value))
        field.add(new Option(value));
      field.value = value;
    }
  }

  #fields(): Field[] {
    return [...this.#form.elements].filter(
      (each): each is Field => "name" in each && "value" in each && each.name !== "",
    );
  }
}

/** What is no number is left as it is, for the check to refuse. */
function entered({ value }: Field): unknown {
  return value.trim() !== "" && Number.isFinite(Number(value)) ? Number(value) : value;
}
