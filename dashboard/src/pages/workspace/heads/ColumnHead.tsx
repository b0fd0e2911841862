/** A column's head: a click sorts by it, one more the other way round; dragged it goes elsewhere, and by its edge it is made wider. */

import { ChevronDown } from "lucide-preact";
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";

import { Popover } from "../../../ui/Popover";
import { plain } from "../../../ui/terminal";
import type { Column } from "../columns";
import { columns } from "../state";
import { COLUMN_LEAST, COLUMN_MAX, show, view } from "../view";
import { headOf, movedBefore, movedBy, possible, sizing } from "./layout";

/** Pixels that the mouse moves before the column moves with it, and of a step of a key. */
const [DRAGGED, STEP] = [6, 10];

export function ColumnHead(props: {
  /** As lists sort by it. */
  column: string;
  title: string;
  /** None of the name's column, which stays where it is. */
  of?: Column;
  isNumber?: boolean;
  width: number;
  class?: string;
  style?: JSX.CSSProperties;
}): JSX.Element {
  const { column, of } = props;
  const { order, stuck } = view.value;
  const descends = order.startsWith("-");
  const isSorted = order.slice(Number(descends)) === column;
  const hasNoOrder = column === "tags" || column === "note";
  const isUp = column === "name" || column.startsWith("min(");
  const next = isSorted ? (descends ? column : `-${column}`) : isUp ? column : `-${column}`;
  const { grip, isDragged } = useMoving(of ? column : null);
  return (
    <span
      role="columnheader"
      data-column={of ? column : undefined}
      aria-sort={isSorted ? (descends ? "descending" : "ascending") : "none"}
      class={`${props.isNumber ? "numbers" : ""} ${isDragged ? "dragged" : ""} ${props.class ?? ""}`}
      style={props.style}
    >
      <button type="button" data-column-grip title={props.title} disabled={hasNoOrder && !of} aria-disabled={hasNoOrder} {...grip(() => !hasNoOrder && show({ order: next }))}>
        <span class="head-text">{plain(of ? headOf(of, columns.value) : props.title)}</span>
        {of?.kind === "metric" && of.aggregate !== "last" && <span class="head-kind">{of.aggregate}</span>}
        {isSorted && <span aria-hidden="true">{descends ? "↓" : "↑"}</span>}
      </button>
      {of && (
        <Popover label="This column" icon={<ChevronDown />} class="head-menu">
          {!hasNoOrder && (
            <>
              <button type="button" onClick={() => show({ order: column })}>
                Sort ascending
              </button>
              <button type="button" onClick={() => show({ order: `-${column}` })}>
                Sort descending
              </button>
            </>
          )}
          <button type="button" onClick={() => show({ stuck: stuck.includes(column) ? stuck.filter((each) => each !== column) : [...stuck, column] })}>
            {stuck.includes(column) ? "Unpin" : "Pin beside the name"}
          </button>
          <button type="button" onClick={() => show({ columns: movedBy(keys(), column, -1) })}>
            Move left
          </button>
          <button type="button" onClick={() => show({ columns: movedBy(keys(), column, 1) })}>
            Move right
          </button>
          <button type="button" onClick={() => show({ columns: keys().filter((each) => each !== column) })}>
            Remove
          </button>
        </Popover>
      )}
      <Edge name={of ? column : "name"} title={props.title} width={props.width} />
    </span>
  );
}

function keys(): string[] {
  return columns.peek().map(({ key }) => key);
}

type Grip = Pick<JSX.HTMLAttributes<HTMLButtonElement>, "onClick" | "onPointerDown" | "onPointerMove" | "onPointerUp" | "onPointerCancel">;

/** Dragging a column to another place; null for one that cannot be. */
function useMoving(column: string | null): { grip: (onClick: () => void) => Grip; isDragged: boolean } {
  const from = useRef<{ left: number; over: Element | null; isBehind: boolean } | null>(null);
  const [isDragged, setDragged] = useState(false);
  /** The click that ends a drag is none. */
  const wasDragged = useRef(false);

  function mark(over: Element | null, isBehind: boolean): void {
    document.querySelectorAll("[data-drop]").forEach((each) => each.removeAttribute("data-drop"));
    over?.setAttribute("data-drop", isBehind ? "behind" : "before");
  }

  function onPointerMove(event: PointerEvent): void {
    const begun = from.current;
    if (!begun || (!isDragged && Math.abs(event.clientX - begun.left) < DRAGGED)) return;
    setDragged(true);
    const heads = [...document.querySelectorAll("[data-column]")];
    const over = heads.find((each) => {
      const { left, right } = each.getBoundingClientRect();
      return event.clientX >= left && event.clientX < right;
    });
    const box = over?.getBoundingClientRect();
    begun.over = over ?? null;
    begun.isBehind = box !== undefined && event.clientX > (box.left + box.right) / 2;
    mark(begun.over, begun.isBehind);
  }

  function end(isDone: boolean): void {
    const begun = from.current;
    from.current = null;
    mark(null, false);
    wasDragged.current = isDragged;
    setDragged(false);
    const target = begun?.over?.getAttribute("data-column");
    if (!isDone || !isDragged || !target || column === null) return;
    const all = keys();
    const before = begun!.isBehind ? (all[all.indexOf(target) + 1] ?? null) : target;
    show({ columns: movedBefore(all, column, before) });
  }

  const grip = (onClick: () => void): Grip => ({
    onClick: () => {
      if (wasDragged.current) wasDragged.current = false;
      else onClick();
    },
    ...(column === null
      ? {}
      : {
          onPointerDown: (event: JSX.TargetedPointerEvent<HTMLButtonElement>) => {
            if (event.button !== 0) return;
            wasDragged.current = false;
            event.currentTarget.setPointerCapture(event.pointerId);
            from.current = { left: event.clientX, over: null, isBehind: false };
          },
          onPointerMove,
          onPointerUp: () => end(true),
          onPointerCancel: () => end(false),
        }),
  });
  return { grip, isDragged };
}

/** The edge by which a column is made wider or narrower; a double click makes it as wide as it was at first. */
function Edge({ name, title, width }: { name: string; title: string; width: number }): JSX.Element {
  const from = useRef<{ left: number; width: number } | null>(null);
  const set = (next: number | null): void => {
    const widths = new Map(view.peek().widths);
    if (next === null) widths.delete(name);
    else widths.set(name, possible(next));
    sizing.value = null;
    show({ widths });
  };
  return (
    <span
      class="edge"
      role="separator"
      aria-orientation="vertical"
      aria-label={`Width of ${title}`}
      aria-valuenow={width}
      aria-valuemin={COLUMN_LEAST}
      aria-valuemax={COLUMN_MAX}
      tabIndex={0}
      title="Drag, or use the arrows; double-click for its first width"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        const drawn = event.currentTarget.parentElement!.getBoundingClientRect().width;
        from.current = { left: event.clientX, width: drawn };
      }}
      onPointerMove={(event) => {
        if (from.current) sizing.value = { key: name, width: possible(from.current.width + event.clientX - from.current.left) };
      }}
      onPointerUp={() => {
        from.current = null;
        if (sizing.peek()) set(sizing.peek()!.width);
      }}
      onPointerCancel={() => {
        from.current = null;
        sizing.value = null;
      }}
      onDblClick={() => set(null)}
      onKeyDown={(event) => {
        const by = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
        if (!by) return;
        event.preventDefault();
        event.stopPropagation();
        set(width + by);
      }}
    />
  );
}
