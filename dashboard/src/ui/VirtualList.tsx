/** A list of any length, of which only what is in sight is in the page. */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { PRINTED_MAX, printing } from "../state/printing";

/** Rows beside those in sight, at the least. */
const MARGIN = 12;
/** Rows come and go so many at once: in between a scrolled list is drawn by nobody but the browser. */
const AT_ONCE = 8;
/** Browsers give an element no more height than this (Firefox 17.8 million pixels, Chromium 33.5 million). */
const HEIGHT_MAX = 16_000_000;
const LINE = 40;

export interface VirtualListProps {
  count: number;
  rowHeight: number;
  label: string;
  role?: "list" | "rowgroup" | "log";
  /** Scrolls along when the last row is in sight and another one comes. */
  follow?: boolean;
  /** Has this row brought into sight. */
  active?: number;
  render: (index: number) => ComponentChildren;
  onRange?: (first: number, last: number) => void;
  class?: string;
  header?: ComponentChildren;
}

export function VirtualList(props: VirtualListProps): JSX.Element {
  const { count, rowHeight, active, follow } = props;
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  /** Where the box was scrolled to from here: what it then tells is known, and exact. */
  const moved = useRef({ scrollTop: 0, top: 0 });
  const [view, setView] = useState({ top: 0, height: 600 });

  const length = count * rowHeight;
  const inside = Math.min(length, HEIGHT_MAX);
  // pixels of the list for one of the scroll bar: more than one where the list is longer than any element may be
  const scale = Math.max(1, (length - view.height) / Math.max(1, inside - view.height));

  /** Bring a place of the list to the top. */
  function moveTo(wanted: number): void {
    const element = box.current!;
    const asked = Math.max(0, wanted) / scale;
    element.scrollTop = asked;
    const { scrollTop } = element;
    // at the end the box goes no further than it can
    const top = scrollTop < asked - 1 ? scrollTop * scale : Math.max(0, wanted);
    moved.current = { scrollTop, top };
    setView({ top, height: element.clientHeight });
  }

  useLayoutEffect(() => {
    const element = box.current!;
    const measure = (): void => setView((before) => ({ ...before, height: element.clientHeight }));
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (follow && atEnd.current) moveTo(length);
  }, [count, follow]);

  useEffect(() => {
    const element = box.current;
    if (active === undefined || !element) return;
    const top = active * rowHeight;
    if (top < moved.current.top) moveTo(top);
    else if (top + rowHeight > moved.current.top + element.clientHeight - rowHeight) moveTo(top + 2 * rowHeight - element.clientHeight);
  }, [active]);

  /** Return which rows are in the page. */
  function rowsOf({ top, height }: { top: number; height: number }): [first: number, last: number] {
    const from = Math.floor(top / rowHeight / AT_ONCE) * AT_ONCE;
    // both ends move together
    const to = from + AT_ONCE + Math.ceil(height / rowHeight);
    return [Math.max(0, from - MARGIN), Math.min(count, to + MARGIN)];
  }

  function onScroll(event: JSX.TargetedEvent<HTMLDivElement>): void {
    const { scrollTop, clientHeight } = event.currentTarget;
    const top = Math.abs(scrollTop - moved.current.scrollTop) < 1 ? moved.current.top : scrollTop * scale;
    moved.current = { scrollTop, top };
    atEnd.current = length - top - clientHeight < rowHeight * 2;
    const next = { top, height: clientHeight };
    // where a pixel of the list is one of the scroll bar, rows stay where they are
    setView((before) => (scale === 1 && String(rowsOf(before)) === String(rowsOf(next)) ? before : next));
  }

  /** A step of the wheel or of a key is as long as in any other list, however long this one is. */
  function step(event: Event, by: number): void {
    if (scale === 1 || !by) return;
    event.preventDefault();
    moveTo(view.top + by);
  }

  const isWhole = printing.value;
  const [first, last] = isWhole ? [0, Math.min(count, PRINTED_MAX)] : rowsOf(view);
  useEffect(() => {
    // paper does not wait for what is not there yet
    if (!isWhole) props.onRange?.(first, last);
  }, [first, last, count]);

  const rows: ComponentChildren[] = [];
  for (let index = first; index < last; index++) rows.push(props.render(index));

  return (
    <div
      ref={box}
      class={`virtual ${props.class ?? ""}`}
      tabIndex={0}
      role={props.role ?? "list"}
      aria-label={props.role === "rowgroup" ? undefined : props.label}
      onScroll={onScroll}
      onWheel={(event) => step(event, event.deltaMode ? event.deltaY * LINE : event.deltaY)}
      onKeyDown={(event) => step(event, { ArrowDown: LINE, ArrowUp: -LINE, PageDown: view.height, PageUp: -view.height }[event.key] ?? 0)}
    >
      {props.header}
      <div class="virtual-inside" style={{ height: `${inside}px` }}>
        <div class="virtual-rows" style={{ transform: `translateY(${view.top / scale + first * rowHeight - view.top}px)` }}>
          {rows}
        </div>
      </div>
    </div>
  );
}
