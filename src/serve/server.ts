/**
 * A server of pages: the list of runs and sweeps below a directory, a live page of each run, the report of each sweep, and
 * the playground. It reads and never writes; what can be asked for is a list that it has made itself.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, isIP } from "node:net";
import { extname } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { messageOf, UsageError } from "../errors.ts";
import { findBelow, findRun, findSweep } from "./find.ts";
import { Followers } from "./follow.ts";
import { listPage } from "./list-page.ts";
import { LivePages } from "./live-page.ts";
import { LIVE_SCRIPT } from "./live-script.ts";
import { SweepPages } from "./sweep-page.ts";

/** Of `npm run site`. */
const SITE = fileURLToPath(new URL("../../build/site/", import.meta.url));

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".wasm": "application/wasm",
};

/** So long it is waited for a page to ask for what it was told of last. */
const ASK_MS = 5000;

/** For every answer. */
const HEADERS = {
  "cache-control": "no-store",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

const LOCKED = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export interface ServeOptions {
  /** Whose runs are shown. */
  directory: string;
  /** By default 127.0.0.1: this machine alone. */
  host?: string;
  /** By default one that is free. */
  port?: number;
}

export interface Serving {
  /** Where the list is; beyond this machine with a token, without which nothing is answered. */
  url: string;
  /** Ends once the pages that are open have had time to ask for what has changed last, and have it. */
  finish(): Promise<void>;
  /** Ends at once. */
  close(): Promise<void>;
}

/** A name that only begins like an address is one that anybody may have made. */
const isLoopback = (host: string) =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

/** @throws UsageError if the directory cannot be read, or the address is not to be had */
export async function serve({ directory, host = "127.0.0.1", port = 0 }: ServeOptions): Promise<Serving> {
  const root = await realpath(directory).catch((error: unknown) => {
    throw new UsageError(`cannot read ${directory}: ${messageOf(error)}`);
  });
  if (!(await stat(root)).isDirectory())
    throw new UsageError(`cannot read ${directory}: it is not a directory`);
  const token = isLoopback(host) ? null : randomBytes(16).toString("hex");
  const site = new Set(await readdir(SITE).catch(() => [] as string[]));
  const pages = new LivePages();
  const sweepPages = new SweepPages();
  const followers = new Followers((run) => pages.rests(run));
  let onAsked = () => {};
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      console.error(`epigrok serve: ${request.url}: ${messageOf(error)}`);
      if (!response.headersSent) refuse(response, 500, "this page could not be made");
      else response.destroy();
    });
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== "GET" && request.method !== "HEAD")
      return refuse(response, 405, "only to be read");
    // A page elsewhere whose name was made to point here.
    if (token === null && !isLoopback(hostname(request.headers.host)))
      return refuse(response, 403, "unknown host");
    const parts = partsOf(request.url);
    if (parts === null) return refuse(response, 400, "not an address");
    if (token !== null && !sameText(parts.shift() ?? "", token)) return refuse(response, 404, "nothing here");
    const [first, ...rest] = parts;
    if (parts.length === 1 && first === "")
      return send(response, ".html", await listPage(await findBelow(root), site.size > 0));
    if (first === "playground") return playground(response, rest);
    if (first === "run") return ofRun(response, rest);
    if (first === "sweep") return ofSweep(response, rest);
    return refuse(response, 404, "nothing here");
  }

  async function playground(response: ServerResponse, parts: string[]): Promise<void> {
    const name = parts[0] === "" ? "index.html" : parts[0];
    if (parts.length !== 1 || !site.has(name)) return refuse(response, 404, "nothing here");
    send(response, extname(name), await readFile(`${SITE}${name}`));
  }

  async function ofRun(response: ServerResponse, parts: string[]): Promise<void> {
    const page = parts.pop();
    const run = await findRun(root, parts.join("/") || ".");
    if (!run) return refuse(response, 404, "there is no such run");
    if (page === "live.js") return send(response, ".js", LIVE_SCRIPT);
    if (page === "events" && response.req.method === "GET") {
      response.writeHead(200, { ...HEADERS, "content-type": "text/event-stream" });
      return followers.add(run.directory, response);
    }
    if (page !== "") return refuse(response, 404, "nothing here");
    const { html, scripts } = await pages.page(run.directory);
    onAsked();
    send(
      response,
      ".html",
      html,
      `default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'self' ${scripts}; connect-src 'self'; ${LOCKED}`,
    );
  }

  async function ofSweep(response: ServerResponse, parts: string[]): Promise<void> {
    const page = parts.pop();
    const sweep = await findSweep(root, parts.join("/") || ".");
    if (!sweep || page !== "") return refuse(response, 404, "there is no such sweep");
    send(response, ".html", await sweepPages.page(sweep));
  }

  await new Promise<void>((done, failed) => {
    server.once("error", (error) =>
      failed(new UsageError(`cannot listen on ${host}:${port}: ${messageOf(error)}`)),
    );
    server.listen(port, host, done);
  });
  const { port: taken } = server.address() as AddressInfo;
  const name = isIP(host) === 6 ? `[${host}]` : host;
  const closed = () => new Promise((done) => server.close(done));
  return {
    url: `http://${name}:${taken}/${token === null ? "" : `${token}/`}`,
    async finish() {
      await pages.made();
      const asked = new Promise<void>((resolve) => {
        onAsked = resolve;
      });
      if (await followers.tell()) await Promise.race([asked, wait(ASK_MS, undefined, { ref: false })]);
      followers.close();
      await closed();
    },
    async close() {
      followers.close();
      server.closeAllConnections();
      await closed();
    },
  };
}

/** What is between the slashes; null for what is no address. */
function partsOf(url = ""): string[] | null {
  if (!/^\/(?!\/)/.test(url)) return null;
  try {
    const parts = new URL(url, "http://localhost").pathname.slice(1).split("/").map(decodeURIComponent);
    return parts.some((part) => /[/\\\0]/.test(part) || part === "..") ? null : parts;
  } catch {
    return null;
  }
}

/** Without the port. */
function hostname(header = ""): string {
  try {
    return new URL(`http://${header}`).hostname.replace(/^\[|\]$/g, "");
  } catch {
    return "";
  }
}

function sameText(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** The policy that a page comes with, and what only a header can say. Of all else nothing is run. */
function policyOf(extension: string, content: string | Buffer): string {
  const own =
    extension === ".html"
      ? /"Content-Security-Policy" content="([^"]*)"/.exec(content.toString())?.[1]
      : null;
  return `${own ?? "default-src 'none'"}; ${LOCKED}`;
}

function send(
  response: ServerResponse,
  extension: string,
  content: string | Buffer,
  policy = policyOf(extension, content),
): void {
  response.writeHead(200, {
    ...HEADERS,
    "content-type": TYPES[extension] ?? "application/octet-stream",
    "content-security-policy": policy,
  });
  response.end(content);
}

function refuse(response: ServerResponse, status: number, why: string): void {
  response.writeHead(status, {
    ...HEADERS,
    "content-type": "text/plain; charset=utf-8",
    "content-security-policy": "default-src 'none'",
  });
  response.end(`${why}\n`);
}
