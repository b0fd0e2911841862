/** Asking again and again, as long as somebody looks; and asking once, until there is an answer. */

import { useEffect } from "preact/hooks";

import { ApiError, isAbort } from "../api/client";
import { connection } from "./connection";

const SLOWEST = 10_000;
const SERVER_ERROR = 500;
const TOO_MANY = 429;

type Task = (signal: AbortSignal) => Promise<void>;

/**
 * Run a task at once, and again so long after each end; only while the page is in sight.
 *
 * While the server is away the pauses grow to ten seconds. What a task throws ends that turn only.
 */
export function usePoll(task: Task, milliseconds: number, dependencies: readonly unknown[]): void {
  useEffect(() => {
    let failures = 0;
    return turns(task, () => {
      failures = connection.peek().online ? 0 : failures + 1;
      return failures ? backoff(failures) : milliseconds;
    });
  }, dependencies);
}

/**
 * Run a task when it is first there and when a dependency changes, and again for as long as the server is what failed.
 *
 * @param options.delay Milliseconds before the first turn, in which dependencies may change further.
 * @param options.onError Called with what a turn threw, and with null once a later one went well.
 */
export function useLoad(
  task: Task,
  dependencies: readonly unknown[],
  options: { delay?: number; onError?: (error: Error | null) => void } = {},
): void {
  useEffect(() => {
    let failures = 0;
    return turns(
      task,
      (error) => {
        if (error || failures) options.onError?.(error);
        failures = error ? failures + 1 : 0;
        return error && isPassing(error) ? backoff(failures) : null;
      },
      options.delay,
    );
  }, dependencies);
}

/** Run a task, and again after the pause that `after` gives; until what is returned is called. */
function turns(task: Task, after: (error: Error | null) => number | null, delay = 0): () => void {
  const end = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let busy = false;
  let due = true;
  let failed = false;

  async function turn(): Promise<void> {
    if (busy || document.hidden || end.signal.aborted) return;
    busy = true;
    clearTimeout(timer);
    let error: Error | null = null;
    try {
      await task(end.signal);
    } catch (thrown) {
      error = thrown as Error;
      if (!isAbort(thrown)) console.debug(thrown);
    }
    busy = false;
    if (end.signal.aborted) return;
    failed = error !== null;
    const pause = after(error);
    due = pause !== null;
    if (pause !== null) timer = setTimeout(() => void turn(), pause);
  }

  const again = (): void => {
    if (due) void turn();
  };
  document.addEventListener("visibilitychange", again);
  // whatever answered first: nobody needs to wait for the end of a pause
  const unsubscribe = connection.subscribe(({ online }) => {
    if (online && failed) again();
  });
  if (delay) timer = setTimeout(() => void turn(), delay);
  else void turn();
  return () => {
    end.abort();
    clearTimeout(timer);
    unsubscribe();
    document.removeEventListener("visibilitychange", again);
  };
}

function backoff(failures: number): number {
  return Math.min(SLOWEST, 1000 * 2 ** (failures - 1));
}

/** Whether the same question may be answered later. */
function isPassing(error: Error): boolean {
  return error instanceof ApiError && (error.status === 0 || error.status === TOO_MANY || error.status >= SERVER_ERROR);
}
