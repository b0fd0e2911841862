/** The runs as a table, and as the legend of all charts: each row has its run's colour. */

import { Ban, ChevronRight, CircleAlert, CircleX, Eye, EyeOff } from "lucide-preact";
import type { JSX } from "preact";
import { useMemo, useRef } from "preact/hooks";

import type { ListedExperiment } from "../../api/types";
import { PRINTED_MAX, printing } from "../../state/printing";
import { experimentPath } from "../../state/url";
import { Link, now, standing, Tags, Time } from "../../ui/basic";
import { clean, duration, several, text, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { VirtualList } from "../../ui/VirtualList";
import { type Column, stepOf, valueOf } from "./columns";
import { ColumnHead } from "./heads/ColumnHead";
import { cursor, hovered } from "./hover";
import { even, short } from "./plot/read";
import { RunColor } from "./RunColor";
import { alikeAtFirst, headOfName, listing, nameIn } from "./runs";
import { ticked, tick } from "./selection";
import { type Group, sharedIn, summaryOf } from "./groups";
import { colors, entryAt, entryCount, groupId, groups, isGrouped, opened, turnGroup } from "./state";
import { show, view } from "./view";
import { drawnBy, groupSwitched, isGroupDrawn, switched } from "./visible";

const ROW = 28;
/** Pixels before the name. */
const BEFORE = 66;
/** Pixels that are wide enough for A4 and Letter upright, with their margins. */
const PAPER = 700;
/** Pixels of the name's column in the full table: with more of them its numbers would be far from their names. */
const NAME_MAX = 420;
const [DIGITS, GROUP_DIGITS] = [5, 4];
const STANDING_WORDS = { stale: "stale: marked as running, but no heartbeat", unknown: "not started" } as const;

export function RunTable(props: {
  columns: readonly Column[];
  /** Pixels of each column. */
  widths: readonly number[];
  /** Pixels of the name's column; at least, where it takes what is left. */
  nameWidth: number;
  isNameFixed: boolean;
  active: number;
  onActive: (at: number) => void;
  onRange: (first: number, last: number) => void;
}): JSX.Element {
  const { columns, widths } = props;
  const { rows } = listing.value;
  const { folder } = view.value;
  const count = entryCount();
  /** Where Shift begins, for eyes and for ticks. */
  const anchors = useRef({ eye: 0, tick: 0 });
  const isDrawn = drawnBy(view.value);
  const alike = useMemo(() => alikeAtFirst(rows.map(({ prefix }) => prefix)), [rows]);
  const name = props.isNameFixed ? `${props.nameWidth}px` : `minmax(${props.nameWidth}px, ${view.value.table ? `${NAME_MAX}px` : "1fr"})`;
  // what is there to press is not on paper
  const template = `${printing.value ? "2px 0 14px" : "28px 24px 14px"} ${name} ${widths.map((width) => `${width}px`).join(" ")}`;
  const style = { gridTemplateColumns: template };
  const least = BEFORE + props.nameWidth + widths.reduce((sum, width) => sum + width, 0);
  const zoom = printing.value ? Math.min(1, PAPER / least) : 1;
  const stays = staying(columns, widths, props.nameWidth);
  const onPaper = Math.min(isGrouped.value ? count : rows.length, PRINTED_MAX);

  /** What a click at a place is meant for: with Shift all from the last click on. */
  function meant(kind: "eye" | "tick", at: number, isLong: boolean): Set<string> {
    const [first, last] = isLong ? [anchors.current[kind], at].sort((a, b) => a - b) : [at, at];
    anchors.current[kind] = at;
    return new Set(rows.slice(first, last! + 1).map((row) => row.id));
  }

  const hoveredAt = cursor.value && hovered.value ? placeOf(hovered.value) : -1;
  const broughtIn = hoveredAt >= 0 ? hoveredAt : props.active;
  return (
    <div class="runs-table" role="table" aria-label="Runs" aria-rowcount={count + 1} style={{ zoom }}>
      <VirtualList
        count={count}
        rowHeight={ROW}
        role="rowgroup"
        label="Runs"
        onRange={props.onRange}
        {...(broughtIn >= 0 ? { active: broughtIn } : {})}
        header={<Head columns={columns} widths={widths} nameWidth={props.nameWidth} stays={stays} style={{ ...style, minWidth: `${least}px` }} />}
        render={(at) => {
          const entry = entryAt(at);
          const rowStyle = { ...style, height: `${ROW}px`, minWidth: `${least}px` };
          if (!entry) return <div key={at} role="row" class="run-row skeleton" style={rowStyle} />;
          const common = { at, columns, stays, isActive: at === props.active, style: rowStyle, onActive: () => props.onActive(at) };
          if (entry.group) return <GroupRow key={entry.group.key} {...common} group={entry.group} />;
          const { run, inside } = entry;
          const place = isGrouped.value ? -1 : at;
          return (
            <Row
              key={run.id}
              {...common}
              run={run}
              name={nameIn(run, folder)}
              isCutAtFirst={alike.has(headOfName(run.prefix))}
              inside={inside}
              isOn={inside !== null || isDrawn(run, place)}
              onEye={(isLong) => {
                const on = !isDrawn(run, place);
                show({ except: switched(rows, view.peek(), meant("eye", at, isLong), on) });
              }}
              onTick={(isLong) => tick(inside !== null ? [run.id] : meant("tick", at, isLong), !ticked.peek().has(run.id))}
            />
          );
        }}
      />
      {onPaper < count && (
        <p class="print-only note">
          The first {whole(onPaper)} of {whole(count)}: as far as the list was scrolled, and {whole(PRINTED_MAX)} at most. Its CSV has all.
        </p>
      )}
    </div>
  );
}

/** Columns that stay in sight while the others are scrolled along, and how far from the left. */
function staying(columns: readonly Column[], widths: readonly number[], nameWidth: number): readonly (Staying | null)[] {
  const { stuck, table } = view.value;
  let left = BEFORE + nameWidth;
  return columns.map(({ key }, at) => {
    if (!table || !stuck.includes(key)) return null;
    const found = { class: "stays", style: { left: `${left}px` } };
    left += widths[at]!;
    return found;
  });
}

interface Staying {
  class: string;
  style: JSX.CSSProperties;
}

function Head(props: {
  columns: readonly Column[];
  widths: readonly number[];
  nameWidth: number;
  stays: readonly (Staying | null)[];
  style: JSX.CSSProperties;
}): JSX.Element {
  const { rows, total } = listing.value;
  const { shown, except } = view.value;
  const all = rows.length > 0 && rows.every((row) => ticked.value.has(row.id));
  const areAllDrawn = shown === "all" && !except.size;
  return (
    <div role="row" class="run-row run-head" style={props.style}>
      <span role="columnheader" aria-label="Ticked">
        <input
          type="checkbox"
          aria-label="Tick all"
          checked={all}
          ref={(box) => {
            if (box) box.indeterminate = !all && ticked.value.size > 0;
          }}
          onChange={() => (all ? (ticked.value = new Set()) : tick(rows.map((row) => row.id), true))}
        />
      </span>
      <span role="columnheader" aria-label="Drawn">
        <button
          type="button"
          class="eye"
          aria-label={areAllDrawn ? "Draw none" : `Draw all ${whole(total)}`}
          title={areAllDrawn ? "Draw none" : `Draw all ${whole(total)}`}
          onClick={() => show({ shown: areAllDrawn ? "none" : "all", except: new Set() })}
        >
          {areAllDrawn ? <Eye /> : <EyeOff />}
        </button>
      </span>
      <span role="columnheader" aria-label="Colour" />
      <ColumnHead column="name" title="Name" width={props.nameWidth} class="run-name" />
      {props.columns.map((column, at) => (
        <ColumnHead
          key={column.key}
          of={column}
          column={column.key}
          title={column.title}
          isNumber={column.kind !== "record"}
          width={props.widths[at]!}
          {...props.stays[at]}
        />
      ))}
    </div>
  );
}

interface Common {
  at: number;
  columns: readonly Column[];
  stays: readonly (Staying | null)[];
  isActive: boolean;
  style: JSX.CSSProperties;
  onActive: () => void;
}

interface RowProps extends Common {
  run: ListedExperiment;
  name: string;
  /** Others begin as it does: where it is cut, its end is what tells them apart. */
  isCutAtFirst: boolean;
  isOn: boolean;
  /** Its group, which has the eye for all of its runs. */
  inside: string | null;
  onEye: (isLong: boolean) => void;
  onTick: (isLong: boolean) => void;
}

function Row(props: RowProps): JSX.Element {
  const { run, name, isOn } = props;
  const kind = standing(run);
  const word = kind === "stale" || kind === "unknown" ? STANDING_WORDS[kind] : kind;
  const slash = name.lastIndexOf("/");
  const isHovered = hovered.value === run.id;
  const color = colors.value.get(props.inside === null ? run.id : groupId(props.inside));
  return (
    <div
      role="row"
      aria-rowindex={props.at + 2}
      class={`run-row edge-${kind} ${props.isActive ? "active" : ""} ${isHovered ? "hovered" : ""} ${isOn ? "" : "off"}`}
      style={props.style}
      onMouseEnter={() => (hovered.value = isOn ? run.id : null)}
      onMouseLeave={() => (hovered.value = null)}
      onClick={props.onActive}
    >
      <span role="cell">
        <input
          type="checkbox"
          aria-label={`Tick ${name}`}
          checked={ticked.value.has(run.id)}
          onClick={(event) => {
            event.stopPropagation();
            props.onTick(event.shiftKey);
          }}
        />
      </span>
      <span role="cell">
        {props.inside === null && (
          <button type="button" class="eye" aria-pressed={isOn} aria-label={`Draw ${name}`} onClick={(event) => props.onEye(event.shiftKey)}>
            {isOn ? <Eye /> : <EyeOff />}
          </button>
        )}
      </span>
      <span role="cell">
        {isOn && color && props.inside === null && view.value.color === null ? (
          <RunColor name={name} color={color} />
        ) : (
          <span class="run-dot" style={isOn && color ? { background: color, borderColor: color } : {}} />
        )}
      </span>
      <span role="cell" class={`run-name ${props.inside === null ? "" : "inside"}`} title={`${run.prefix}\n${word}${run.error ? `: ${run.error}` : ""}`}>
        {slash > 0 && <span class="run-folder muted">{plain(name.slice(0, slash + 1))}</span>}
        <Link href={experimentPath(run.prefix)} class={props.isCutAtFirst ? "ends-shown" : ""}>
          <bdi>{plain(name.slice(slash + 1))}</bdi>
        </Link>
        {kind !== "completed" && kind !== "unknown" && <Standing kind={kind} />}
        <Warning texts={[...(run.problem ? [run.problem] : []), ...(run.missing ?? [])]} />
      </span>
      {props.columns.map((column, at) => (
        <span key={column.key} role="cell" class={classOf(column, props.stays[at])} style={props.stays[at]?.style}>
          <Cell column={column} run={run} />
        </span>
      ))}
    </div>
  );
}

/** How a run stands, where it is not simply completed: a sign, with the word where there is room for it. */
function Standing({ kind }: { kind: keyof typeof SIGNS }): JSX.Element {
  return (
    <span class={`run-standing status-${kind}`}>
      {SIGNS[kind]}
      <span class="run-word">{kind}</span>
    </span>
  );
}

const SIGNS = { running: <span class="dot" />, failed: <CircleX />, stale: <CircleAlert />, cancelled: <Ban /> } as const;

/** A group: how many runs it has, what they have alike, and means of what differs. */
function GroupRow(props: Common & { group: Group }): JSX.Element {
  const { group, at } = props;
  const id = groupId(group.key);
  const isOn = isGroupDrawn(group, groups.value.indexOf(group), view.value);
  const isOpen = opened.value.has(group.key);
  const color = colors.value.get(id);
  const ids = group.runs.map((run) => run.id);
  return (
    <div
      role="row"
      aria-rowindex={at + 2}
      class={`run-row group-row ${props.isActive ? "active" : ""} ${hovered.value === id ? "hovered" : ""} ${isOn ? "" : "off"}`}
      style={props.style}
      onMouseEnter={() => (hovered.value = isOn ? id : null)}
      onMouseLeave={() => (hovered.value = null)}
      onClick={props.onActive}
    >
      <span role="cell">
        <input
          type="checkbox"
          aria-label={`Tick the runs of ${group.label}`}
          checked={ids.every((each) => ticked.value.has(each))}
          onClick={() => tick(ids, !ids.every((each) => ticked.peek().has(each)))}
        />
      </span>
      <span role="cell">
        <button
          type="button"
          class="eye"
          aria-pressed={isOn}
          aria-label={`Draw ${group.label}`}
          onClick={() => show({ except: groupSwitched(group, view.peek().except) })}
        >
          {isOn ? <Eye /> : <EyeOff />}
        </button>
      </span>
      <span role="cell">
        <span class="run-dot" style={isOn && color ? { background: color, borderColor: color } : {}} />
      </span>
      <span role="cell" class="run-name" title={group.label}>
        <button type="button" class="group-name" aria-expanded={isOpen} onClick={() => turnGroup(group.key)}>
          <ChevronRight />
          <span class="group-label">{plain(group.label)}</span> <span class="count">{whole(group.runs.length)}</span>
        </button>
      </span>
      {props.columns.map((column, at) => (
        <span key={column.key} role="cell" class={classOf(column, props.stays[at])} style={props.stays[at]?.style}>
          <GroupCell column={column} group={group} />
        </span>
      ))}
    </div>
  );
}

function classOf(column: Column, stays: Staying | null | undefined): string {
  return `${column.kind === "record" ? "" : "numbers"} ${stays?.class ?? ""}`;
}

function GroupCell({ column, group }: { column: Column; group: Group }): JSX.Element {
  const shared = sharedIn(column, group.runs, now.value);
  if (shared !== undefined && shared !== null && column.kind === "param") return <>{text(shared)}</>;
  const found = column.kind === "record" && column.key !== "duration" ? null : summaryOf(column, group.runs, now.value);
  if (!found) return <span class="muted">–</span>;
  if (column.key === "duration") return <>{duration(found.mean)}</>;
  const deviation = found.std === null ? "" : ` ±${short(found.std, 2)}`;
  return (
    <span title={`mean of ${found.count === group.runs.length ? "" : `${found.count} of `}${several(group.runs.length, "run")}: ${text(found.mean)}${deviation}`}>
      {even(found.mean, GROUP_DIGITS)}
      <span class="muted">{deviation}</span>
    </span>
  );
}

/** Where a run or a group is in the run set; -1 where it is not there. */
function placeOf(id: string): number {
  if (!isGrouped.value) return listing.value.rows.findIndex((row) => row.id === id);
  for (let at = 0; at < entryCount(); at++) {
    const entry = entryAt(at);
    if ((entry?.group ? groupId(entry.group.key) : entry?.run.id) === id) return at;
  }
  return -1;
}

/** A mark where something is wrong with what is on the disk, which says what. */
function Warning({ texts }: { texts: readonly string[] }): JSX.Element | null {
  if (!texts.length) return null;
  const told = texts.map(plain).join("\n");
  return (
    <span class="warn" role="img" aria-label={told} title={told}>
      !
    </span>
  );
}

function Cell({ column, run }: { column: Column; run: ListedExperiment }): JSX.Element {
  if (column.kind === "record") {
    if (column.name === "started") return <Time at={run.startedAt} isShort />;
    if (column.name === "active") return <Time at={run.lastActivity} isShort />;
    if (column.name === "tags") return <Tags tags={run.tags} />;
  }
  const value = valueOf(column, run, now.value);
  if (value === undefined || value === null) return <span class="muted">–</span>;
  if (column.key === "duration") return <>{duration(value as number)}</>;
  if (column.key === "rows") return <>{whole(value as number)}</>;
  const step = stepOf(column, run);
  const exact = text(value);
  const isMeasured = column.kind === "metric" && typeof value === "number" && Number.isFinite(value);
  return <span title={step == null ? exact : `${exact} at step ${text(step)}`}>{isMeasured ? even(value, DIGITS) : typeof value === "number" ? clean(value) : exact}</span>;
}
