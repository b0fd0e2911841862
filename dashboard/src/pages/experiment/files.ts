/** Files as lists have them. */

import type { File as FileRow } from "../../api/types";

/** A file's path and name, as it was saved. */
export function fullName(row: Pick<FileRow, "path" | "filename">): string {
  return row.path === "/" ? row.filename : `${row.path.slice(1)}/${row.filename}`;
}
