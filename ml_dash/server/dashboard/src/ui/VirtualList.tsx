/** A list of any length, of which only what is in sight is in the page. */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

const MARGIN = 12;

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
  const [view, setView] = useState({ top: 0, height: 600 });

  useLayoutEffect(() => {
    const element = box.current!;
    const measure = (): void => setView({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (follow && atEnd.current && box.current) box.current.scrollTop = count * rowHeight;
  }, [count, follow]);

  useEffect(() => {
    const element = box.current;
    if (active === undefined || !element) return;
    const top = active * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + rowHeight > element.scrollTop + element.clientHeight - rowHeight)
      element.scrollTop = top + 2 * rowHeight - element.clientHeight;
  }, [active]);

  const first = Math.max(0, Math.floor(view.top / rowHeight) - MARGIN);
  const last = Math.min(count, Math.ceil((view.top + view.height) / rowHeight) + MARGIN);
  useEffect(() => props.onRange?.(first, last), [first, last, count]);

  const rows: ComponentChildren[] = [];
  for (let index = first; index < last; index++) rows.push(props.render(index));

  return (
    <div
      ref={box}
      class={`virtual ${props.class ?? ""}`}
      tabIndex={0}
      role={props.role ?? "list"}
      aria-label={props.role === "rowgroup" ? undefined : props.label}
      onScroll={(event) => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        atEnd.current = scrollHeight - scrollTop - clientHeight < rowHeight * 2;
        setView({ top: scrollTop, height: clientHeight });
      }}
    >
      {props.header}
      <div class="virtual-inside" style={{ height: `${count * rowHeight}px` }}>
        <div class="virtual-rows" style={{ transform: `translateY(${first * rowHeight}px)` }}>
          {rows}
        </div>
      </div>
    </div>
  );
}
