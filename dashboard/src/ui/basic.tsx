/** Small parts that every page uses. */

import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

import type { Experiment } from "../api/types";
import { addressOf } from "../state/base";
import { connection } from "../state/connection";
import { outdated } from "../state/fresh";
import { navigate } from "../state/url";
import { Code } from "./Code";
import { ago, localTime } from "./format";
import { plain } from "./terminal";

/** The time, for relative times: it goes on every ten seconds. */
export const now = signal(Date.now());
setInterval(() => {
  now.value = Date.now();
}, 10_000);

export function Link(props: JSX.HTMLAttributes<HTMLAnchorElement> & { href: string }): JSX.Element {
  function go(event: MouseEvent): void {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    navigate(props.href);
  }
  return <a {...props} href={addressOf(props.href)} onClick={go} />;
}

export type Standing = "running" | "stale" | "completed" | "failed" | "cancelled" | "unknown";

export function standing(record: Pick<Experiment, "status" | "stale">): Standing {
  if (record.stale) return "stale";
  return (record.status?.toLowerCase() ?? "unknown") as Standing;
}

const STANDINGS: Record<Standing, string> = {
  running: "Running",
  stale: "Stale: marked as running, but no heartbeat",
  completed: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
  unknown: "Not started",
};

export function Status(props: { of: Pick<Experiment, "status" | "stale" | "endedAt"> }): JSX.Element {
  const kind = standing(props.of);
  // of a run that was imported from where nobody keeps how it ended
  const ended = kind === "unknown" && props.of.endedAt !== null;
  return (
    <span class={`status status-${kind}`} title={ended ? "Ended: how is not known" : STANDINGS[kind]}>
      <span class="dot" aria-hidden="true" />
      {kind === "unknown" ? (ended ? "unknown" : "not started") : kind}
    </span>
  );
}

export function Time(props: { at: string | null; isShort?: boolean }): JSX.Element {
  if (!props.at) return <span class="muted">–</span>;
  return (
    <time dateTime={props.at} title={`${localTime(props.at)} (${props.at})`}>
      {ago(props.at, now.value, props.isShort)}
    </time>
  );
}

/** Where there is nothing: what is lacking, and the next step, with the code of it. */
export function Empty(props: { title: string; hint?: string; code?: string; children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">{props.title}</p>
      {props.hint && <p class="muted">{props.hint}</p>}
      {props.code && <Code text={props.code} />}
      {props.children}
    </div>
  );
}

/** Says that the server is away, for as long as it is. */
export function Banner(): JSX.Element | null {
  if (connection.value.online) return outdated.value ? <Outdated /> : null;
  return (
    <div class="banner" role="alert">
      The server at {location.host} does not answer. What is shown stays; trying again…
    </div>
  );
}

/** Says that the server has newer pages, which may ask for what these do not know. */
function Outdated(): JSX.Element {
  return (
    <div class="banner" role="status">
      The server has other pages than this tab by now.{" "}
      <button type="button" onClick={() => location.reload()}>
        Reload
      </button>
    </div>
  );
}

export function Tabs<T extends string>(props: {
  label: string;
  tabs: readonly (readonly [T, string, number?])[];
  chosen: T;
  onChoose: (tab: T) => void;
}): JSX.Element {
  function move(event: KeyboardEvent): void {
    const at = props.tabs.findIndex(([tab]) => tab === props.chosen);
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = props.tabs[(at + step + props.tabs.length) % props.tabs.length];
    if (!step || !next) return;
    event.preventDefault();
    props.onChoose(next[0]);
    document.getElementById(`tab-${next[0]}`)?.focus();
  }
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // where there is little room only some of them are in sight
    const box = list.current!;
    if (box.scrollWidth > box.clientWidth) document.getElementById(`tab-${props.chosen}`)?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [props.chosen]);
  return (
    <div ref={list} class="tabs" role="tablist" aria-label={props.label} onKeyDown={move}>
      {props.tabs.map(([tab, name, count]) => (
        <button
          key={tab}
          id={`tab-${tab}`}
          role="tab"
          type="button"
          aria-selected={tab === props.chosen}
          aria-controls="panel"
          tabIndex={tab === props.chosen ? 0 : -1}
          onClick={() => props.onChoose(tab)}
        >
          {name}
          {count !== undefined && <span class="count">{count}</span>}
        </button>
      ))}
    </div>
  );
}

export function SearchField(props: {
  label: string;
  value: string;
  placeholder?: string;
  main?: boolean;
  onInput: (value: string) => void;
}): JSX.Element {
  return (
    <input
      class="search"
      type="search"
      aria-label={props.label}
      placeholder={props.placeholder ?? props.label}
      value={props.value}
      spellcheck={false}
      autocomplete="off"
      {...(props.main ? { "data-main-search": "" } : {})}
      onInput={(event) => props.onInput(event.currentTarget.value)}
    />
  );
}

export function Select<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}): JSX.Element {
  return (
    <label class="field">
      <span>{props.label}</span>
      <select value={props.value} onChange={(event) => props.onChange(event.currentTarget.value as T)}>
        {props.options.map(([value, name]) => (
          <option key={value} value={value}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

export function Toggle(props: {
  label: string;
  value: boolean;
  onChange: (value: boolean) => void;
}): JSX.Element {
  return (
    <label class="toggle">
      <input
        type="checkbox"
        checked={props.value}
        onChange={(event) => props.onChange(event.currentTarget.checked)}
      />
      {props.label}
    </label>
  );
}

/** A button that opens a panel below it; Escape, or a click elsewhere, closes it. */
export function Menu(props: { label: string; children: ComponentChildren }): JSX.Element {
  function close(event: KeyboardEvent): void {
    const menu = event.currentTarget as HTMLDetailsElement;
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    menu.open = false;
    menu.querySelector("summary")?.focus();
  }
  return (
    <details
      class="menu"
      onKeyDown={close}
      onFocusOut={(event) => {
        const next = event.relatedTarget as Node | null;
        if (next && !event.currentTarget.contains(next)) event.currentTarget.open = false;
      }}
    >
      <summary>{props.label}</summary>
      <div class="menu-panel">{props.children}</div>
    </details>
  );
}

export function Tags(props: { tags: string[] }): JSX.Element {
  return (
    <>
      {props.tags.map((tag) => (
        <span key={tag} class="tag">
          {plain(tag)}
        </span>
      ))}
    </>
  );
}
