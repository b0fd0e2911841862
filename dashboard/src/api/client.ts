/** Asking the server: JSON in and out, and what became of the connection. */

import { decode as unpack } from "@msgpack/msgpack";

import { addressOf } from "../state/base";
import { connection, signedOut } from "../state/connection";
import { decode } from "./json";

const API = addressOf("/api/v1");

type Headers = Readonly<Record<string, string>>;
type Argument = string | number | boolean | readonly string[] | null | undefined;

/** A part of a text that is not understood: from where on, up to where, and why. */
export interface Misunderstood {
  start: number;
  stop: number;
  message: string;
}

/** An answer that is an error; status 0 where there was no answer. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** What of a filter is not understood, and where. */
    readonly problems: readonly Misunderstood[] = [],
    /** Which field, or argument, is not as it should be, and what it should be. */
    readonly field: string | null = null,
    readonly remedy: string | null = null,
  ) {
    super(message);
  }
}

/** Ask for `path` below /api/v1; arguments that are null or undefined are left out, and a list is given item by item. */
export function get<T>(path: string, params: Record<string, Argument> = {}, signal?: AbortSignal): Promise<T> {
  return send<T>("GET", withQuery(path, params), undefined, signal);
}

/** An answer that says where the next one begins; a server bounds each by bytes, whatever the limit. */
interface Page {
  hasMore: boolean;
  cursor: string | null;
}

/** Ask for all pages, one after the other; one without a cursor is the last. */
export async function* pages<T extends Page>(
  path: string,
  params: Record<string, Argument>,
  signal?: AbortSignal,
): AsyncGenerator<T, void> {
  let cursor: string | null = null;
  do {
    const page: T = await get<T>(path, { ...params, cursor }, signal);
    yield page;
    cursor = page.hasMore ? page.cursor : null;
  } while (cursor);
}

function withQuery(path: string, params: Record<string, Argument>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined) query.append(name, String(each));
    }
  }
  return query.size ? `${path}?${query}` : path;
}

/** Ask for numbers to draw: integers of more digits than a double has are rounded. */
export function getDoubles<T>(path: string, params: Record<string, Argument>, signal: AbortSignal): Promise<T> {
  return send<T>("GET", withQuery(path, params), undefined, signal, false);
}

export function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return send<T>("POST", path, body, signal);
}

/** Ask for what has numbers as bytes. */
export async function postForBytes<T>(path: string, body: unknown, signal: AbortSignal): Promise<T> {
  const answer = await ask("POST", path, body, signal, { Accept: "application/msgpack" });
  return unpack(new Uint8Array(await read(() => answer.arrayBuffer()))) as T;
}

export function put<T>(path: string, body: unknown, more: { params?: Record<string, Argument>; headers?: Headers } = {}): Promise<T> {
  return send<T>("PUT", withQuery(path, more.params ?? {}), body, undefined, true, more.headers);
}

export function remove<T>(path: string, params: Record<string, Argument> = {}, headers?: Headers): Promise<T> {
  return send<T>("DELETE", withQuery(path, params), undefined, undefined, true, headers);
}

export function contentUrl(experimentId: string, fileId: string): string {
  return `${API}/experiments/${experimentId}/files/${encodeURIComponent(fileId)}/content`;
}

/** Ask for what is in a file, as text. */
export async function getText(url: string, signal: AbortSignal, headers: Headers = {}): Promise<string> {
  const answer = await fetch(url, { headers, signal }).catch(() => {
    throw signal.aborted ? signal.reason : new ApiError(0, "offline", "the server does not answer");
  });
  if (!answer.ok) throw new ApiError(answer.status, "unknown", `the server answered with status ${answer.status}`);
  return await answer.text();
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

async function send<T>(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
  exact = true,
  headers: Headers = {},
): Promise<T> {
  const answer = await ask(method, path, body, signal, { Accept: "application/json", ...headers });
  return decode(await read(() => answer.text()), exact) as T;
}

/** Return an answer that is no error. */
async function ask(
  method: string,
  path: string,
  body: unknown,
  signal: AbortSignal | undefined,
  more: Headers,
): Promise<Response> {
  const headers: Record<string, string> = { ...more, "X-ML-Dash": "1" };
  const init: RequestInit = { method, headers, credentials: "same-origin", signal: signal ?? null };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  const answer = await read(() => fetch(`${API}/${path}`, init));
  if (!connection.value.online) connection.value = { online: true, since: null };
  if (answer.ok) return answer;
  const content = await read(() => answer.arrayBuffer());
  // a proxy may have answered, in what it speaks
  const isPacked = answer.headers.get("Content-Type")?.startsWith("application/msgpack");
  throw failed(path, answer.status, () => (isPacked ? unpack(new Uint8Array(content)) : JSON.parse(new TextDecoder().decode(content))));
}

/** Wait for the server; where it does not answer, say so everywhere. */
async function read<T>(from: () => Promise<T>): Promise<T> {
  try {
    return await from();
  } catch (error) {
    if (isAbort(error)) throw error;
    if (connection.value.online) connection.value = { online: false, since: Date.now() };
    throw new ApiError(0, "offline", "the server does not answer");
  }
}

interface ErrorBody {
  code: string;
  message: string;
  problems?: Misunderstood[];
  field?: string;
  remedy?: string;
}

function failed(path: string, status: number, told: () => unknown): ApiError {
  if (status === 401 && path !== "session") signedOut.value = true;
  try {
    const { error } = told() as { error: ErrorBody };
    return new ApiError(status, error.code, error.message, error.problems, error.field, error.remedy);
  } catch {
    return new ApiError(status, "unknown", `the server answered with status ${status}`);
  }
}
