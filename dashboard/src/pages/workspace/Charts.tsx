/** The right side of the workspace: the charts of the drawn runs, in sections. */

import { ChevronRight, Plus } from "lucide-preact";
import type { JSX, Ref } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { experimentPath } from "../../state/url";
import { Link, SearchField, Select } from "../../ui/basic";
import { several, whole } from "../../ui/format";
import { Popover } from "../../ui/Popover";
import { plain } from "../../ui/terminal";
import { fields, unlistedIn } from "./fields";
import { Media } from "./media/Media";
import { NewChart } from "./NewChart";
import { Panel } from "./Panel";
import { missingOnPaper, onPaper, preparing, usePaper } from "./paper";
import { scrolls } from "./plot/turns";
import { choiceOf, optionsOf, ranksIn } from "./ranks";
import { listing, nameIn } from "./runs";
import { type Section, sectionsOf, shortTitle, within } from "./sections";
import { axes, charts, chosenX, drawn, metrics, own, sampled, withMedia } from "./state";
import { hasSweep, Sweep } from "./sweep/Sweep";
import { show, SIZES, view } from "./view";

/** Charts of a section that are made at once; more of them as somebody scrolls there. */
const STEP = 24;
/** Charts, and heads of closed sections, that are made at once of all sections. */
const AT_FIRST = 2 * STEP;
const HEIGHTS = { small: 168, medium: 240, large: 360 } as const;
/** The least width of a chart, and what is between two. */
const WIDTHS = { small: 250, medium: 360, large: 520 } as const;
const GAP = 8;
/** Charts that stand side by side at most before they become larger, by their size. */
const MOST = { small: 6, medium: 4, large: 3 } as const;
/** Such a chart is at least so high for its width. */
const FLATTEST = 0.52;
/** By how much a chart may be narrower on paper, so that as many fit as should. */
const ON_PAPER = 20;

export function Charts(): JSX.Element {
  const { expanded } = view.value;
  const sections = sectionsOf(charts.value, own.value, view.value);
  const large = expanded === null ? undefined : [...own.value, ...charts.value].find((chart) => chart.title === expanded);
  usePaper(!large && !view.value.table);
  const pane = useRef<HTMLDivElement>(null);
  const [{ width, height }, setRoom] = useState({ width: 0, height: 0 });
  useEffect(() => {
    const sized = new ResizeObserver(([entry]) => {
      const room = entry!.contentRect;
      setRoom({ width: Math.floor(room.width), height: Math.floor(room.height) });
    });
    sized.observe(pane.current!);
    return () => sized.disconnect();
  }, []);
  return (
    <section class="charts-side" aria-label="Charts">
      <Toolbar />
      <div class="charts-pane" ref={pane} onScroll={scrolls}>
        {large ? (
          <div class="panels-one">
            <Panel key={large.title} chart={large} title={large.title} height={Math.max(HEIGHTS.small, height - 64)} columns={null} />
          </div>
        ) : (
          <>
            <Unlisted />
            <Sections sections={sections} room={width} />
            {withMedia.value.length > 0 && (
              <MadePart name="Media" told="images, tables and so on, by step">
                <Media />
              </MadePart>
            )}
            {hasSweep() && (
              <MadePart name="Sweep" told="parameters and results">
                <Sweep />
              </MadePart>
            )}
            {!sections.length && <Nothing />}
            <p class="print-only muted">{missingOnPaper(sections, preparing.value)}</p>
          </>
        )}
      </div>
    </section>
  );
}

/** What can be chosen, with what was, though none of the drawn runs has it. */
function withChosen(all: readonly (readonly [string, string])[], chosen: string): readonly (readonly [string, string])[] {
  return all.some(([name]) => name === chosen) ? all : [...all, [chosen, `${chosen} (none has it)`]];
}

function Toolbar(): JSX.Element {
  const { find, smoothing, log, logX, size, zoom, ranks } = view.value;
  const found = ranksIn(sampled.value);
  return (
    <div class="toolbar" role="toolbar" aria-label="All charts">
      <SearchField label="Find charts" placeholder="Find charts: loss|acc" value={find} onInput={(value) => show({ find: value })} />
      <Select label="x" value={chosenX.value} options={withChosen(axes.value, chosenX.value)} onChange={(x) => show({ x, zoom: new Map() })} />
      {(found.length > 1 || ranks !== null) && (
        <Select label="Ranks" value={String(ranks ?? "all")} options={optionsOf(found, ranks)} onChange={(next) => show({ ranks: choiceOf(next) })} />
      )}
      <label class="field">
        <span>Smoothing</span>
        <input
          type="range"
          min="0"
          max="0.99"
          step="0.01"
          value={smoothing}
          onInput={(event) => show({ smoothing: Number(event.currentTarget.value) })}
        />
        <b class="smoothing">{smoothing.toFixed(2)}</b>
      </label>
      <button type="button" class="toggled" aria-pressed={log} onClick={() => show({ log: !log })}>
        log y
      </button>
      <button type="button" class="toggled" aria-pressed={logX} onClick={() => show({ logX: !logX, zoom: new Map() })}>
        log x
      </button>
      <Popover label="Put a chart together" text={<><Plus /> Chart</>}>
        <NewChart />
      </Popover>
      <Select label="Size" value={size} options={SIZES.map((each) => [each, each] as const)} onChange={(next) => show({ size: next })} />
      {zoom.size > 0 && (
        <button type="button" onClick={() => show({ zoom: new Map() })}>
          Show all
        </button>
      )}
    </div>
  );
}

/** Sections one after the other, more of them as their end comes into sight: a wide run has hundreds, with thousands of charts. */
function Sections({ sections, room }: { sections: readonly Section[]; room: number }): JSX.Element {
  const [count, setCount] = useState(AT_FIRST);
  const paper = preparing.value ? onPaper(sections) : null;
  const made = paper ? sections.filter((_, at) => paper[at]! > 0) : within(sections, count);
  const isMore = made.length < sections.length;
  const end = useEnd(isMore, () => setCount((before) => before + AT_FIRST), count);
  return (
    <>
      {made.map((section) => (
        <SectionPart key={section.name} section={section} room={room} count={paper && paper[sections.indexOf(section)]!} />
      ))}
      <div ref={end} class="end" />
      {isMore && <p class="pane-none">{several(sections.length - made.length, "more section")} below</p>}
    </>
  );
}

/** What to set on the end of a list of which more is made, `more`, when that comes into sight; looked at again after each `turn`. */
function useEnd(isMore: boolean, more: () => void, turn: number): Ref<HTMLDivElement> {
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // with all of it there the end may stay in sight: to look for more then would never end
    if (!isMore) return;
    const near = new IntersectionObserver(([entry]) => entry!.isIntersecting && more(), { rootMargin: "600px" });
    near.observe(end.current!);
    return () => near.disconnect();
  }, [isMore, turn]);
  return end;
}

/** A section; for paper as many charts of it are made as `count` says, else as many as somebody has scrolled to. */
function SectionPart({ section, room, count }: { section: Section; room: number; count: number | null }): JSX.Element {
  const [made, setMade] = useState(STEP);
  const { charts, name, open } = section;
  const { size } = view.value;
  const columns = Math.max(1, Math.min(MOST[size], Math.floor((room + GAP) / (WIDTHS[size] + GAP))));
  const height = columns < MOST[size] ? HEIGHTS[size] : Math.max(HEIGHTS[size], Math.round(((room + GAP) / columns - GAP) * FLATTEST));
  const end = useEnd(open && made < charts.length, () => setMade((before) => before + STEP), made);
  return (
    <section class="chart-section" aria-label={name}>
      <SectionHead name={name} told={whole(charts.length)} isOpen={open} />
      {open && (
        <div class="panels" style={{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`, "--chart-width": `${WIDTHS[size] - ON_PAPER}px` }}>
          {charts.slice(0, count ?? made).map((chart) => (
            <Panel key={chart.title} chart={chart} title={shortTitle(chart, name)} height={height} columns={columns} />
          ))}
          <div ref={end} class="end" />
        </div>
      )}
    </section>
  );
}

/** Where a run has more metrics than are told of each of many: on its own page are all. */
function Unlisted(): JSX.Element | null {
  const found = unlistedIn(sampled.value, fields.value);
  if (!found) return null;
  const { run, listed, total } = found;
  return (
    <p class="note" role="status">
      {whole(listed)} of {several(total, "metric")} of {plain(nameIn(run, view.value.folder))} can be found here: all of them are on <Link href={experimentPath(run.prefix)}>its own page</Link>.
    </p>
  );
}

/** What is made where somebody wants to see it. */
function MadePart(props: { name: string; told: string; children: JSX.Element }): JSX.Element {
  const isOpen = view.value.turned.has(props.name);
  return (
    <section class="chart-section" aria-label={props.name}>
      <SectionHead name={props.name} told={props.told} isOpen={isOpen} />
      {isOpen && props.children}
    </section>
  );
}

function SectionHead(props: { name: string; told: string; isOpen: boolean }): JSX.Element {
  function turn(): void {
    const turned = new Set(view.peek().turned);
    if (!turned.delete(props.name)) turned.add(props.name);
    show({ turned });
  }
  return (
    <h2>
      <button type="button" class="section-toggle" aria-expanded={props.isOpen} onClick={turn}>
        <ChevronRight />
        <span>{plain(props.name)}</span> <span class="count">{props.told}</span>
      </button>
    </h2>
  );
}

/** Why there is no chart. */
function Nothing(): JSX.Element | null {
  const { asked, total } = listing.value;
  if (!asked || !total) return null;
  if (!drawn.value.length) return <p class="pane-none">No run is drawn: switch some on by their eyes at the left.</p>;
  if (charts.value.length) return <p class="pane-none">None of {several(charts.value.length, "chart")} has such a name.</p>;
  if (!sampled.value.every((run) => fields.value.has(run.id))) return <p class="pane-none">Loading…</p>;
  return <p class="pane-none">{metrics.value.length ? "" : "These runs have logged no metrics yet."}</p>;
}
