/** A button that opens a panel beside it, over everything else; Escape, a click elsewhere, or a choice in it closes it. */

import { autoUpdate, computePosition, flip, offset, shift } from "@floating-ui/dom";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

const [AWAY, EDGE] = [4, 8];

export function Popover(props: {
  label: string;
  icon?: JSX.Element;
  /** What the button says; without it, the icon does. */
  text?: ComponentChildren;
  class?: string;
  /** It is made when it is opened. */
  children: ComponentChildren;
}): JSX.Element {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLDivElement>(null);
  const [isOpen, setOpen] = useState(false);

  useEffect(() => {
    const [anchor, floating] = [button.current, panel.current];
    if (!isOpen || !anchor || !floating) return;
    const middleware = [offset(AWAY), flip({ padding: EDGE }), shift({ padding: EDGE })];
    return autoUpdate(anchor, floating, () => {
      void computePosition(anchor, floating, { strategy: "fixed", placement: "bottom-end", middleware }).then(({ x, y }) => {
        floating.style.left = `${x}px`;
        floating.style.top = `${y}px`;
      });
    });
  }, [isOpen]);

  /** What can be chosen once stands in the panel itself; fields and lists are in something. */
  function fold(event: MouseEvent): void {
    if ((event.target as HTMLElement).closest("button")?.parentElement !== panel.current) return;
    panel.current?.hidePopover();
    // where the choice has moved the panel in the page, it is closed already, and nobody was told
    setOpen(false);
  }

  /** The browser gives the focus back only where it was in the panel all along, and not where what had it is gone. */
  function back(event: KeyboardEvent): void {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    panel.current?.hidePopover();
    button.current?.focus();
  }

  return (
    <>
      <button
        ref={button}
        type="button"
        class={`${props.text === undefined ? "icon" : "quiet"} ${props.class ?? ""} ${isOpen ? "shown" : ""}`}
        popovertarget={id}
        aria-label={props.label}
        aria-expanded={isOpen}
        title={props.label}
      >
        {props.icon}
        {props.text}
      </button>
      <div ref={panel} id={id} class="popover" popover="auto" onClick={fold} onKeyDown={back} onToggle={(event) => setOpen((event as unknown as ToggleEvent).newState === "open")}>
        {isOpen && props.children}
      </div>
    </>
  );
}
