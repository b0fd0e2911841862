/** Which experiments have changed since the last time, by one question for all of them. */

import { ApiError, get, pages } from "./client";
import type { Experiments, ListedExperiment } from "./types";

const PAGE = 1000;
const INVALID = 400;

export class Changes {
  private asOf: string | null = null;

  /**
   * Return the records that have changed, deleted ones among them; null where all may have: the first time, and where
   * the last one was so long ago that the server does not know. Of one that was moved away the folder would not tell, so
   * all there are count.
   */
  async since(signal: AbortSignal): Promise<ListedExperiment[] | null> {
    if (this.asOf !== null) {
      try {
        return await this.changed(this.asOf, signal);
      } catch (error) {
        if (!(error instanceof ApiError && error.status === INVALID)) throw error;
      }
    }
    this.asOf = (await get<Experiments>("experiments", { limit: 0 }, signal)).asOf;
    return null;
  }

  /** Take all for changed the next time: what was told was not taken in. */
  forget(): void {
    this.asOf = null;
  }

  private async changed(asOf: string, signal: AbortSignal): Promise<ListedExperiment[]> {
    const found: ListedExperiment[] = [];
    let latest: string | null = null;
    for await (const page of pages<Experiments>("experiments", { limit: PAGE, changed_since: asOf }, signal)) {
      found.push(...page.data);
      latest ??= page.asOf;
    }
    this.asOf = latest;
    return found;
  }
}
