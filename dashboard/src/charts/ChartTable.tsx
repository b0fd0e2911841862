/** A chart as a table, for those who cannot see it, or want the numbers. */

import type { JSX } from "preact";

import { clean } from "../ui/format";
import { VirtualList } from "../ui/VirtualList";
import type { Line } from "./load";
import { type Drawn, joined, ofSingle, spread } from "./series";

export function ChartTable(props: { x: string; lines: readonly Line[]; drawn: readonly Drawn[] }): JSX.Element {
  const { x, places } = joined(props.drawn);
  const columns = props.drawn.map((line, at) => spread(line.raw, places[at]!, x.length));
  const columnsStyle = { gridTemplateColumns: `repeat(${columns.length + 1}, minmax(6rem, 1fr))` };
  const row = (index: number): JSX.Element => (
    <div key={index} role="row" class="grid-row" style={columnsStyle}>
      <span role="cell">{clean(x[index]!)}</span>
      {columns.map((column, at) => (
        <span key={at} role="cell">
          {column[index] == null ? "" : clean(props.drawn[at]!.isSingle ? ofSingle(column[index]) : column[index])}
        </span>
      ))}
    </div>
  );
  return (
    <div role="table" aria-label="Values" class="chart-table">
      <div role="row" class="grid-row grid-head" style={columnsStyle}>
        <span role="columnheader">{props.x}</span>
        {props.lines.map((line) => (
          <span key={line.key} role="columnheader">
            {line.label}
          </span>
        ))}
      </div>
      <VirtualList count={x.length} rowHeight={24} label="Values" role="rowgroup" render={row} />
    </div>
  );
}
