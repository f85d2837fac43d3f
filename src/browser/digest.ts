/** SHA-256 in a browser. */

/** Whether the browser offers it: pages that came over plain http from another machine have none. */
export const canDigest = (): boolean => globalThis.crypto?.subtle !== undefined;

/** Hexadecimal. */
export async function sha256(bytes: BufferSource | string): Promise<string> {
  const given = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", given));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
