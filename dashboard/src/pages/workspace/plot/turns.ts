/**
 * Whose turn it is to be drawn. A chart of twenty lines takes the browser ten milliseconds, most of them behind the
 * frame in which it was drawn; a row of charts that comes into sight at once makes a scrolled page stand still for three
 * or four frames. So while somebody scrolls, one is drawn a frame; else all are at once.
 */

/** Milliseconds after which nobody scrolls any more. */
const RESTS = 150;

let scrolled = -Infinity;
let isWaiting = false;
const waiting = new Map<string, () => void>();

/** Call it whenever anything is scrolled. */
export function scrolls(): void {
  scrolled = performance.now();
}

/** Draw a chart now, or in its turn; what is drawn of it last counts. */
export function inTurn(id: string, draw: () => void): void {
  if (!waiting.size && performance.now() - scrolled > RESTS) return draw();
  waiting.set(id, draw);
  if (!isWaiting) next();
}

/** Forget a chart that is gone. */
export function outOfTurn(id: string): void {
  waiting.delete(id);
}

function next(): void {
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    for (const [id, draw] of waiting) {
      waiting.delete(id);
      draw();
      break;
    }
    if (waiting.size) next();
  });
}
