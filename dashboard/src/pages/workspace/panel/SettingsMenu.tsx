/** What one chart has of its own: its axes, smoothing and ranges. */

import { SlidersHorizontal } from "lucide-preact";
import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { Popover } from "../../../ui/Popover";
import { plain } from "../../../ui/terminal";
import { rounded, whole } from "../../../ui/format";
import { metricTitle } from "../columns";
import { ALONG, axisTitle, type ChartOf } from "../sections";
import { axes, chosenX, metrics } from "../state";
import { show, view } from "../view";
import { type Bounds, bounds, changedIn, KINDS, numberIn, partsOf, PLAIN, type Settings } from "./settings";
import type { Smooth } from "../curves";

/** Names in a list; of more it is said how they are written. */
const LISTED = 200;
const KIND_NAMES = { ema: "average, weighted by time", mean: "running mean", gaussian: "gaussian" } as const;
const [WEIGHT, SHARE] = [0.6, 0.02];
/** So many digits of what is shown say where a range may begin. */
const SHOWN_DIGITS = 4;

export function SettingsMenu(props: {
  chart: ChartOf;
  settings: Settings;
  /** What the chart shows now. */
  shown: { axis: string; x: readonly [number, number]; y: readonly [number, number] } | null;
}): JSX.Element {
  const { chart, settings } = props;
  const isOwn = partsOf(settings).length > 0;
  return (
    <Popover label={`Settings of ${chart.title}`} icon={<SlidersHorizontal />} class={isOwn ? "on shown" : ""}>
      <Form {...props} isOwn={isOwn} />
    </Popover>
  );
}

function Form(props: Parameters<typeof SettingsMenu>[0] & { isOwn: boolean }): JSX.Element {
  const { chart, settings, shown } = props;
  const { smoothing, log, logX } = view.value;
  const set = (change: Partial<Settings>): void => show({ settings: changedIn(view.peek().settings, chart.title, change) });
  const extent = shown ? shown.x[1] - shown.x[0] : 1;
  return (
    <form class="panel-settings" aria-label={`Settings of ${chart.title}`} onSubmit={(event) => event.preventDefault()}>
      <fieldset>
        <legend>x</legend>
        <XChoice chart={chart} settings={settings} onChange={(x) => set({ x, xRange: null })} />
        <Three label="Scale of x" value={settings.logX} all={logX} onChange={(next) => set({ logX: next })} />
        <Range name="x" value={settings.xRange} shown={shown?.x} onChange={(xRange) => set({ xRange })} />
      </fieldset>
      <fieldset>
        <legend>y</legend>
        <Three label="Scale of y" value={settings.logY} all={log} onChange={(next) => set({ logY: next })} />
        <Range name="y" value={settings.yRange} shown={shown?.y} onChange={(yRange) => set({ yRange })} />
        <label class="toggle">
          <input type="checkbox" checked={settings.cut} disabled={settings.yRange !== null} onChange={() => set({ cut: !settings.cut })} />
          Leave outliers out: the 5 % at either end
        </label>
      </fieldset>
      <fieldset>
        <legend>Smoothing</legend>
        <Smoothing value={settings.smooth} all={smoothing} extent={extent} axis={shown?.axis ?? ""} onChange={(smooth) => set({ smooth })} />
      </fieldset>
      {props.isOwn && (
        <div>
          <button type="button" onClick={() => set(PLAIN)}>
            As all charts
          </button>
        </div>
      )}
    </form>
  );
}

function XChoice({ chart, settings, onChange }: { chart: ChartOf; settings: Settings; onChange: (x: string | null) => void }): JSX.Element {
  const common = axes.value.map(([name]) => name);
  const own = chart.fields.filter((field) => !common.includes(field) && !field.includes("._"));
  const others = metrics.value
    .flatMap((metric) => metric.fields.map((field) => metricTitle({ name: metric.name, field })))
    .filter((title) => !common.includes(title) && title !== chart.title && !ALONG.includes(title));
  const known = [...common, ...own, ...others];
  return (
    <label class="setting">
      <span>Along</span>
      <select value={settings.x ?? ""} onChange={(event) => onChange(event.currentTarget.value || null)}>
        <option value="">as all charts: {axisTitle(chosenX.value) || "time of day"}</option>
        {axes.value.map(([name, title]) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
        {settings.x !== null && !known.slice(0, LISTED).includes(settings.x) && <option value={settings.x}>{plain(settings.x)}</option>}
        {own.length > 0 && (
          <optgroup label="Fields of this metric">
            {own.slice(0, LISTED).map((name) => (
              <option key={name} value={name}>
                {plain(name)}
              </option>
            ))}
          </optgroup>
        )}
        {others.length > 0 && (
          <optgroup label={`Other metrics, as of the time${others.length > LISTED ? `: ${LISTED} of ${whole(others.length)}` : ""}`}>
            {others.slice(0, LISTED).map((name) => (
              <option key={name} value={name}>
                {plain(name)}
              </option>
            ))}
          </optgroup>
        )}
      </select>
    </label>
  );
}

function Three(props: { label: string; value: boolean | null; all: boolean; onChange: (value: boolean | null) => void }): JSX.Element {
  const value = props.value === null ? "" : props.value ? "log" : "linear";
  return (
    <label class="setting">
      <span>Scale</span>
      <select
        aria-label={props.label}
        value={value}
        onChange={(event) => props.onChange(event.currentTarget.value === "" ? null : event.currentTarget.value === "log")}
      >
        <option value="">as all charts: {props.all ? "logarithmic" : "linear"}</option>
        <option value="linear">linear</option>
        <option value="log">logarithmic</option>
      </select>
    </label>
  );
}

/** A number that somebody types: what is typed stays while the chart is drawn anew, until it is done. */
function NumberField(props: { label: string; value: number | null; placeholder?: string; isWrong?: boolean; onText: (text: string) => void }): JSX.Element {
  const [typed, setTyped] = useState<string | null>(null);
  return (
    <input
      inputMode="decimal"
      aria-label={props.label}
      aria-invalid={props.isWrong}
      placeholder={props.placeholder}
      value={typed ?? props.value ?? ""}
      onInput={(event) => setTyped(event.currentTarget.value)}
      onChange={(event) => {
        setTyped(null);
        props.onText(event.currentTarget.value);
      }}
    />
  );
}

function Range(props: {
  name: string;
  value: Bounds | null;
  shown: readonly [number, number] | undefined;
  onChange: (value: Bounds | null) => void;
}): JSX.Element {
  const { name, value, shown } = props;
  /** Why what was typed last is none; empty where it is. */
  const [problem, setProblem] = useState("");
  function take(at: 0 | 1, text: string): void {
    const end = numberIn(text);
    const ends = [value?.[0] ?? null, value?.[1] ?? null];
    ends[at] = end;
    const next = bounds(ends[0]!, ends[1]!);
    if (end === null && text.trim()) setProblem(`“${text}” is no number: give one, or nothing for as far as there is anything.`);
    else if (next === null && ends.some((each) => each !== null)) setProblem(`From ${ends[0]} to ${ends[1]} there is nothing: give the lower one first.`);
    else {
      setProblem("");
      props.onChange(next);
    }
  }
  return (
    <>
      <div class="setting">
        <span>Range</span>
        {([["Lowest", 0], ["Highest", 1]] as const).map(([end, at]) => (
          <NumberField
            key={end}
            label={`${end} ${name}`}
            value={value?.[at] ?? null}
            placeholder={shown ? rounded(shown[at], SHOWN_DIGITS) : "all"}
            isWrong={problem !== ""}
            onText={(text) => take(at, text)}
          />
        ))}
      </div>
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </>
  );
}

function Smoothing(props: {
  value: Smooth | null;
  all: number;
  /** Of x, as far as it is shown. */
  extent: number;
  axis: string;
  onChange: (value: Smooth | null) => void;
}): JSX.Element {
  const { value, all, extent, axis, onChange } = props;
  const kind = value === null ? "" : value.amount === 0 ? "none" : value.kind;
  function choose(next: string): void {
    const chosen = KINDS.find((each) => each === next);
    if (chosen) onChange({ kind: chosen, amount: chosen === "ema" ? all || WEIGHT : Number((extent * SHARE).toPrecision(2)) });
    else onChange(next === "none" ? { kind: "ema", amount: 0 } : null);
  }
  const unit = axis === "relative" || axis === "time" ? "seconds" : axis === "index" ? "rows" : axis;
  return (
    <>
      <label class="setting">
        <span>Kind</span>
        <select aria-label="Kind of smoothing" value={kind} onChange={(event) => choose(event.currentTarget.value)}>
          <option value="">as all charts: {all ? all.toFixed(2) : "none"}</option>
          <option value="none">none</option>
          {KINDS.map((each) => (
            <option key={each} value={each}>
              {KIND_NAMES[each]}
            </option>
          ))}
        </select>
      </label>
      {value !== null && kind === "ema" && (
        <label class="setting">
          <span>Weight</span>
          <input
            type="range"
            min="0.01"
            max="0.99"
            step="0.01"
            aria-label="Weight of smoothing"
            value={value.amount}
            onChange={(event) => onChange({ kind, amount: Number(event.currentTarget.value) })}
          />
          <b class="smoothing">{value.amount.toFixed(2)}</b>
        </label>
      )}
      {value !== null && (kind === "mean" || kind === "gaussian") && (
        <label class="setting">
          <span>{kind === "mean" ? "Width" : "Sigma"}</span>
          <NumberField
            label={kind === "mean" ? "Width of the mean" : "Standard deviation"}
            value={value.amount}
            onText={(text) => {
              const amount = numberIn(text);
              if (amount !== null && amount > 0) onChange({ kind, amount });
            }}
          />
          <span class="muted">{plain(unit)}</span>
        </label>
      )}
    </>
  );
}
