/** Finds one more run by words of its name. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { get } from "../../api/client";
import type { Experiments, ListedExperiment } from "../../api/types";
import { useLoad } from "../../state/poll";
import { SearchField } from "../../ui/basic";
import { plain } from "../../ui/terminal";

const SHOWN = 8;
const SETTLE = 200;

export function AddRun(props: { known: readonly string[]; onAdd: (record: ListedExperiment) => void }): JSX.Element {
  const [words, setWords] = useState("");
  const [found, setFound] = useState<ListedExperiment[]>([]);
  useLoad(
    async (signal) => {
      if (!words.trim()) return setFound([]);
      const asked = { search: words, limit: SHOWN + props.known.length };
      const { data } = await get<Experiments>("experiments", asked, signal);
      setFound(data.filter((record) => !props.known.includes(record.prefix)).slice(0, SHOWN));
    },
    [words, props.known.join("\n")],
    { delay: SETTLE },
  );
  return (
    <div class="add-run">
      <SearchField label="Add a run" value={words} onInput={setWords} />
      {words.trim() && found.length > 0 && (
        <ul class="menu-panel" aria-label="Runs that were found">
          {found.map((record) => (
            <li key={record.id}>
              <button
                type="button"
                class="quiet"
                onClick={() => {
                  props.onAdd(record);
                  setWords("");
                }}
              >
                {plain(record.prefix)}
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
