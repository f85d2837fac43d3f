/** Opens addresses in the browser of whoever sits at this machine. */
import { spawn } from "node:child_process";

/** What opens an address; null where there is no screen. */
function opener(): string[] | null {
  const { BROWSER, DISPLAY, WAYLAND_DISPLAY } = process.env;
  if (BROWSER) return [BROWSER];
  if (process.platform === "darwin") return ["open"];
  if (process.platform === "win32") return ["rundll32", "url.dll,FileProtocolHandler"];
  return DISPLAY || WAYLAND_DISPLAY ? ["xdg-open"] : null;
}

/**
 * The browser is no part of this process and gets none of its signals. Without a screen nothing happens.
 * @param failed gets why no browser shows the address
 */
export function openInBrowser(url: string, failed: (why: string) => void): void {
  const command = opener();
  if (command === null) return;
  const [program, ...args] = command;
  const child = spawn(program, [...args, url], { detached: true, stdio: "ignore", windowsHide: true });
  child.on("error", ({ message }) => failed(message));
  child.on("exit", (code) => {
    if (code) failed(`${program} ended with ${code}`);
  });
  child.unref();
}
