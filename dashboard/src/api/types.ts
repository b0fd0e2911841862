/** The shapes of the API's answers, as the OpenAPI document of the server has them. */

export type Status = "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED";

export interface ExperimentRecord {
  id: string;
  prefix: string;
  owner: string;
  project: string;
  folder: string;
  name: string;
  readme: string | null;
  tags: string[];
  bindrs: string[];
  metadata: Record<string, unknown> | null;
  status: Status | null;
  stale: boolean;
  createdAt: string;
  updatedAt: string;
  startedAt: string | null;
  endedAt: string | null;
  lastActivity: string | null;
  host: string | null;
  error: string | null;
  rows: number;
  deletedAt: string | null;
  /** What is wrong with its journal; only from a local root. */
  problem?: string | null;
}

export interface Listing extends Page<ExperimentRecord> {
  /** With which to ask later for what has changed. */
  asOf: string;
}

export interface Page<T> {
  data: T[];
  total: number;
  hasMore: boolean;
  cursor: string | null;
}

export interface MetricInfo {
  name: string | null;
  count: number;
  fields: string[];
}

export interface LogRow {
  index: number;
  timestamp: string;
  level: string;
  message: string;
  metadata: Record<string, unknown> | null;
}

export interface Rows<T> {
  data: T[];
  startIndex: number;
  endIndex: number;
  total: number;
  hasMore: boolean;
}

export interface FileRow {
  id: string;
  path: string;
  filename: string;
  description: string | null;
  tags: string[];
  contentType: string;
  sizeBytes: number;
  checksum: string;
  metadata: Record<string, unknown> | null;
  uploadedAt: string;
  updatedAt: string;
  deletedAt: string | null;
  available: boolean;
}

export interface RunInfo {
  status: Status | null;
  startedAt: string | null;
  endedAt: string | null;
  lastActivity: string | null;
  host: string | null;
  pid: number | null;
  stale: boolean;
  error: string | null;
  writers: number;
}

/** One field of a metric, a list for each column; a pixel in which nothing lies is left out. */
export interface Buckets {
  x: number[];
  xMin: number[];
  xMax: number[];
  count: number[];
  min: (number | null)[];
  max: (number | null)[];
  mean: (number | null)[];
  first: (number | null)[];
  last: (number | null)[];
  nan: number[];
  posInf: number[];
  negInf: number[];
}

export interface Series {
  rows: number;
  points: number;
  resolution: "rows" | "buckets";
  exact: boolean;
  buckets: Buckets;
}

export interface MetricField {
  name: string | null;
  field: string;
}

export interface Values {
  id: string;
  params: Record<string, unknown>;
  metrics: { name: string | null; fields: string[] }[];
  metricsTotal: number;
  values: unknown[];
}

export interface Session {
  signedIn: boolean;
  mode: "server" | "local";
  name: string | null;
  version: string;
}
