/** The points of a line as the server sends them: columns of bytes, of which a later answer has only what is new. */

export interface Column {
  type: "float64" | "float32" | "uint32";
  data: Uint8Array;
}

export type Columns = Readonly<Record<string, Column>>;
export type Numbers = Float64Array | Float32Array | Uint32Array;

/** Of a line; of a band y is the mean, and std, min, max and count are of its runs. */
export interface Points {
  x: Numbers;
  y: Numbers;
  /** Without these three each point is one row. */
  min?: Numbers;
  max?: Numbers;
  count?: Numbers;
  smooth?: Numbers;
  std?: Numbers;
  nan?: Numbers;
  posInf?: Numbers;
  negInf?: Numbers;
}

type Name = keyof Points;

const NAMES: readonly Name[] = ["x", "y", "min", "max", "count", "smooth", "std", "nan", "posInf", "negInf"];
const NONE = new Float64Array(0);

export const NO_POINTS: Points = { x: NONE, y: NONE };

/** Put columns behind the first points of what is known. */
export function merged(known: Points | undefined, first: number, columns: Columns): Points {
  const found: Partial<Record<Name, Numbers>> = {};
  for (const name of NAMES) {
    const more = columns[name] && numbersOf(columns[name]);
    const kept = first > 0 ? known?.[name]?.subarray(0, first) : undefined;
    if (kept || more) found[name] = first > 0 ? joined(name, kept, more, first, columns, known) : more!;
  }
  return { ...found, x: found.x ?? NONE, y: found.y ?? NONE };
}

/** A column that one of both lacks is what its absence means: single rows, and no NaN among them. */
function joined(
  name: Name,
  kept: Numbers | undefined,
  more: Numbers | undefined,
  first: number,
  columns: Columns,
  known: Points | undefined,
): Numbers {
  const added = columns.x ? numbersOf(columns.x).length : 0;
  const all = new Float64Array(first + added);
  const isEnd = name === "min" || name === "max";
  const single = new Float64Array(all.length).fill(name === "count" ? 1 : 0);
  all.set(kept ?? (isEnd && known ? known.y.subarray(0, first) : single.subarray(0, first)), 0);
  all.set(more ?? (isEnd && columns.y ? numbersOf(columns.y) : single.subarray(first)), first);
  return all;
}

function numbersOf({ type, data }: Column): Numbers {
  // bytes may begin anywhere in an answer, and numbers not
  const buffer = data.slice().buffer;
  if (type === "float64") return new Float64Array(buffer);
  return type === "float32" ? new Float32Array(buffer) : new Uint32Array(buffer);
}

export function sizeOf(points: Points): number {
  return NAMES.reduce((sum, name) => sum + (points[name]?.length ?? 0), 0);
}
