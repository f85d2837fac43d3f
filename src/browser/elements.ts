/** The elements of the page, by the names that page.html gives them. */

/** @throws Error if page.html has none of this name and kind */
export function element<E extends HTMLElement = HTMLElement>(
  id: string,
  kind: abstract new () => E = HTMLElement as unknown as abstract new () => E,
): E {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} ${id}`);
  return found;
}

/** A new element with a text, or with others in it. */
export function made<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  ...content: (string | Node)[]
): HTMLElementTagNameMap[K] {
  const created = document.createElement(tag);
  created.append(...content);
  return created;
}
