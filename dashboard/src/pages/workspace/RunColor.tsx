/** The colour of a run, which somebody may change: it stands in the address, and in a view that is saved. */

import type { JSX } from "preact";

import { theme } from "../../state/theme";
import { Popover } from "../../ui/Popover";
import { colorAt, COLORS } from "./colors";
import { show, view } from "./view";

/** @param props.name The run's name below the folder. */
export function RunColor(props: { name: string; color: string }): JSX.Element {
  const { name, color } = props;
  const dot = <span class="run-dot" style={{ background: color, borderColor: color }} />;
  return (
    <Popover label={`Colour of ${name}`} class="run-color" icon={dot}>
      <Choices name={name} />
    </Popover>
  );
}

function Choices({ name }: { name: string }): JSX.Element {
  const { colored } = view.value;
  function choose(event: JSX.TargetedMouseEvent<HTMLElement>, place: number | null): void {
    const next = new Map(colored);
    if (place === null) next.delete(name);
    else next.set(name, place);
    event.currentTarget.closest<HTMLElement>("[popover]")?.hidePopover();
    show({ colored: next });
  }
  return (
    <div class="palette" role="group" aria-label={`Colours for ${name}`}>
      {Array.from({ length: COLORS }, (_, place) => (
        <button
          key={place}
          type="button"
          aria-label={`Colour ${place + 1}`}
          aria-pressed={colored.get(name) === place}
          style={{ background: colorAt(place, theme.value) }}
          onClick={(event) => choose(event, place)}
        />
      ))}
      {colored.has(name) && (
        <button type="button" class="palette-own" onClick={(event) => choose(event, null)}>
          As it was
        </button>
      )}
    </div>
  );
}
