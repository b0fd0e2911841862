/**
 * A question that is answered before anything else; Escape gives it up, and so does a click beside it, as long as nothing was
 * typed that would be lost by it.
 */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

export function Dialog(props: { title: string; children: ComponentChildren; onClose: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const isTyped = useRef(false);
  /** Whoever marks a text may let go of the button beside the dialog. */
  const isBeside = useRef(false);
  useEffect(() => {
    const element = dialog.current!;
    element.showModal();
    element.querySelector<HTMLElement>("[autofocus]")?.focus();
    // the focus goes back to where it was
    return () => element.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-label={props.title}
      onClose={props.onClose}
      onInput={() => void (isTyped.current = true)}
      onPointerDown={(event) => void (isBeside.current = event.target === dialog.current)}
      onClick={(event) => event.target === dialog.current && isBeside.current && !isTyped.current && dialog.current?.close()}
    >
      <div class="dialog-inside">
        <h2>{props.title}</h2>
        {props.children}
      </div>
    </dialog>
  );
}
