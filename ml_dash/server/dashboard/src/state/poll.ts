/** Asking again and again, as long as somebody looks. */

import { useEffect } from "preact/hooks";

import { isAbort } from "../api/client";
import { connection } from "./connection";

const SLOWEST = 10_000;

/**
 * Run a task at once, and again so long after each end; only while the page is in sight.
 *
 * While the server is away the pauses grow to ten seconds. What a task throws ends that turn only.
 */
export function usePoll(
  task: (signal: AbortSignal) => Promise<void>,
  milliseconds: number,
  dependencies: readonly unknown[],
): void {
  useEffect(() => {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let busy = false;
    let failures = 0;

    async function turn(): Promise<void> {
      if (busy || document.hidden || end.signal.aborted) return;
      busy = true;
      clearTimeout(timer);
      try {
        await task(end.signal);
      } catch (error) {
        if (!isAbort(error)) console.debug(error);
      }
      busy = false;
      failures = connection.peek().online ? 0 : failures + 1;
      const pause = failures ? Math.min(SLOWEST, 1000 * 2 ** (failures - 1)) : milliseconds;
      if (!end.signal.aborted) timer = setTimeout(() => void turn(), pause);
    }

    const seen = (): void => void turn();
    document.addEventListener("visibilitychange", seen);
    void turn();
    return () => {
      end.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, dependencies);
}
