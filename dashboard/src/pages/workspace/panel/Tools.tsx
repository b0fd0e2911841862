/** What can be done with a chart: pin, save, enlarge, set, remove it, and show all of it again. */

import { Download, Maximize2, Minimize2, Pin, PinOff, X, ZoomOut } from "lucide-preact";
import type { ComponentChildren, JSX } from "preact";

import { Popover } from "../../../ui/Popover";
import { singleLines } from "../lines";
import type { Scene } from "../plot/surface";
import { savePng, saveRows, saveSvg } from "../save";
import { axisTitle, type ChartOf } from "../sections";
import { show, view } from "../view";
import type { Bounds } from "./settings";

export function Tools(props: {
  chart: ChartOf;
  scene: Scene | null;
  axis: string;
  range: Bounds | null;
  /** Null where all of it is shown. */
  onShowAll: (() => void) | null;
  children: ComponentChildren;
}): JSX.Element {
  const { chart, scene, axis, range, onShowAll } = props;
  const { title } = chart;
  const { expanded, pinned, own } = view.value;
  const isPinned = pinned.includes(title);
  const isOwn = own.some((each) => each.title === title);
  const isExpanded = expanded === title;
  return (
    <span class="tile-tools">
      {onShowAll && <Tool label={`Show all of ${title}`} onClick={onShowAll} icon={<ZoomOut />} shown />}
      {props.children}
      <Tool
        label={`${isPinned ? "Unpin" : "Pin"} ${title}`}
        onClick={() => show({ pinned: isPinned ? pinned.filter((each) => each !== title) : [...pinned, title] })}
        icon={isPinned ? <PinOff /> : <Pin />}
      />
      {isOwn && <Tool label={`Remove ${title}`} onClick={() => show({ own: own.filter((each) => each.title !== title) })} icon={<X />} />}
      <Popover label={`Save ${title}`} icon={<Download />}>
        <button type="button" onClick={() => scene && savePng(scene, title, axisTitle(axis))}>
          PNG
        </button>
        <button type="button" onClick={() => scene && saveSvg(scene, title, axisTitle(axis))}>
          SVG
        </button>
        {chart.parts.some((part) => "field" in part) && (
          <button type="button" title="All rows, as they were logged" onClick={() => void saveRows(singleLines(chart), chart, axis, range)}>
            CSV
          </button>
        )}
      </Popover>
      <Tool
        label={isExpanded ? "Make it small again" : `Enlarge ${title}`}
        onClick={() => show({ expanded: isExpanded ? null : title }, { push: true })}
        icon={isExpanded ? <Minimize2 /> : <Maximize2 />}
      />
    </span>
  );
}

function Tool(props: { label: string; icon: JSX.Element; shown?: boolean; onClick: () => void }): JSX.Element {
  return (
    <button type="button" class={`icon ${props.shown ? "shown" : ""}`} aria-label={props.label} title={props.label} onClick={props.onClick}>
      {props.icon}
    </button>
  );
}
