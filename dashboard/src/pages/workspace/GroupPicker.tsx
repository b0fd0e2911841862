/** By what runs are grouped, and by what they are coloured. */

import type { JSX } from "preact";

import { plain } from "../../ui/terminal";
import { differing, paramColumn } from "./columns";
import { listing } from "./runs";
import { goal, opened } from "./state";
import { show, SPREADS, view } from "./view";

const RECORD = ["status", "host", "project"] as const;
const SPREAD_NAMES = { minmax: "lowest to highest", std: "± standard deviation", stderr: "± standard error" } as const;

export function GroupPicker(): JSX.Element {
  const { group, spread } = view.value;
  const params = differing(listing.value.rows).map((name) => [paramColumn(name).key, name] as const);
  const butFor = group.filter((key) => key.startsWith("-"));

  function choose(next: readonly string[]): void {
    opened.value = new Set();
    // what was switched on or off were runs, and would be groups now
    show({ group: next, except: new Set(), shown: "first" });
  }
  const toggle = (key: string): void => choose(group.includes(key) ? group.filter((each) => each !== key) : [...group, key]);

  return (
    <div class="picker">
      {group.length > 0 && (
        <button type="button" onClick={() => choose([])}>
          No groups
        </button>
      )}
      <fieldset>
        <legend>Group by</legend>
        {[...params, ...RECORD.map((name) => [name, name] as const)].map(([key, name]) => (
          <label key={key} class="toggle">
            <input type="checkbox" checked={group.includes(key)} onChange={() => toggle(key)} />
            {plain(name)}
          </label>
        ))}
      </fieldset>
      {params.length > 1 && (
        <fieldset>
          <legend>Group by all that differs, but not by</legend>
          {params.map(([key, name]) => (
            <label key={key} class="toggle">
              <input type="checkbox" checked={butFor.includes(`-${key}`)} onChange={() => toggle(`-${key}`)} />
              {plain(name)}
            </label>
          ))}
        </fieldset>
      )}
      <fieldset>
        <legend>Band around the mean</legend>
        {SPREADS.map((each) => (
          <label key={each} class="toggle">
            <input type="radio" name="spread" checked={spread === each} onChange={() => show({ spread: each })} />
            {SPREAD_NAMES[each]}
          </label>
        ))}
      </fieldset>
    </div>
  );
}

export function ColorPicker(): JSX.Element {
  const { color } = view.value;
  const params = differing(listing.value.rows).map((name) => [paramColumn(name).key, name] as const);
  const result = goal.value ? [[goal.value.key, goal.value.title] as const] : [];
  const choices = [["", "each run its own"] as const, ...result, ...params, ...RECORD.map((name) => [name, name] as const)];
  return (
    <div class="picker">
      <fieldset>
        <legend>Colour by</legend>
        {choices.map(([key, name]) => (
          <label key={key} class="toggle">
            <input type="radio" name="color" checked={(color ?? "") === key} onChange={() => show({ color: key || null })} />
            {plain(name)}
          </label>
        ))}
      </fieldset>
    </div>
  );
}
