/** What was done, for a while, with a way back. */

import { signal } from "@preact/signals";
import type { JSX } from "preact";

interface Told {
  text: string;
  /** What takes it back; it may fail, and says then why. */
  undo?: () => Promise<void>;
  isProblem?: boolean;
}

const SECONDS = 20;
const told = signal<Told | null>(null);
let timer: ReturnType<typeof setTimeout> | undefined;

export function tell(next: Told): void {
  clearTimeout(timer);
  told.value = next;
  timer = setTimeout(() => (told.value = null), SECONDS * 1000);
}

export function Notice(): JSX.Element | null {
  const shown = told.value;
  if (!shown) return null;
  const { undo } = shown;
  async function takeBack(): Promise<void> {
    told.value = null;
    try {
      await undo?.();
    } catch (error) {
      tell({ text: `This cannot be undone: ${(error as Error).message}`, isProblem: true });
    }
  }
  return (
    <div class={`notice ${shown.isProblem ? "notice-problem" : ""}`} role={shown.isProblem ? "alert" : "status"}>
      <span>{shown.text}</span>
      {undo && (
        <button type="button" onClick={() => void takeBack()}>
          Undo
        </button>
      )}
      <button type="button" class="quiet" aria-label="Close" onClick={() => (told.value = null)}>
        ×
      </button>
    </div>
  );
}
