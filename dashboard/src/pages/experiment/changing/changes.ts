/** What people change of an experiment; the server answers each with the record as it is then. */

import { ApiError, get, post, put, remove } from "../../../api/client";
import type { DeletedExperiment, Experiment } from "../../../api/types";

/** Lists leave out what has this tag, unless it is asked for. */
export const ARCHIVED = "archived";
const TAGS_MAX = 1000;
const TAG_MAX = 1024;

export interface TagNews {
  add?: readonly string[];
  remove?: readonly string[];
}

export function rename({ id }: Pick<Experiment, "id">, to: string): Promise<Experiment> {
  return post<Experiment>(`experiments/${id}/move`, { to });
}

export function changeTags({ id }: Pick<Experiment, "id">, news: TagNews): Promise<Experiment> {
  return post<Experiment>(`experiments/${id}/tags`, news);
}

/** What is said of an experiment in Markdown: what people note of it, and what it says of itself. */
export type TextKind = "note" | "readme";

/** A text that somebody else has changed since it was shown. */
export class ChangedMeanwhile extends Error {
  constructor(readonly record: Experiment) {
    super("somebody has changed this meanwhile");
  }
}

/**
 * Write a text.
 *
 * @param before What it was when somebody began to change it; another one that was written since is not written over.
 * @throws ChangedMeanwhile with the record as it is.
 */
export async function writeText({ id }: Pick<Experiment, "id">, kind: TextKind, text: string, before: string): Promise<Experiment> {
  try {
    return await put<Experiment>(`experiments/${id}/${kind}`, { [kind]: text, before });
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "changed") throw error;
    throw new ChangedMeanwhile(await get<Experiment>(`experiments/${id}`));
  }
}

/** Put an experiment into the trash; one that a run of goes on only by `force`. */
export function toTrash({ id }: Pick<Experiment, "id">, force = false): Promise<DeletedExperiment> {
  return remove<DeletedExperiment>(`experiments/${id}`, { unless_running: force ? null : true });
}

export function restore({ id }: Pick<Experiment, "id">, to: string | null = null): Promise<Experiment> {
  return post<Experiment>(`experiments/${id}/restore`, { to });
}

/** Ask the run that goes on to stop; whoever asked first stays the one who did. */
export function askToStop({ id }: Pick<Experiment, "id">): Promise<Experiment> {
  return post<Experiment>(`experiments/${id}/stop`, {});
}

/** Take that back, as long as the run has not seen it. */
export function cancelStop({ id }: Pick<Experiment, "id">): Promise<Experiment> {
  return post<Experiment>(`experiments/${id}/stop`, { cancel: true });
}

/** What a record says of a request to stop, in words: what was asked, and what has come of it; null where nobody has asked. */
export function stopText({ stop, status }: Pick<Experiment, "stop" | "status">): { asked: string; now: string } | null {
  if (!stop) return null;
  const asked = `Asked to stop${stop.by ? ` by ${stop.by}` : ""}${stop.reason ? `: ${stop.reason}` : ""}`;
  if (status !== "RUNNING") return { asked, now: stop.seenAt ? "it has seen that, and ended" : "it has ended without a look" };
  return { asked, now: stop.seenAt ? "stopping" : "it has not seen that yet, and goes on" };
}

/** What is wrong with a new name, in words; null where nothing is that can be seen from here. */
export function problemOfName(to: string, owner: string): string | null {
  const parts = to.split("/");
  if (parts.length < 3) return "A name has an owner, a project and a name: owner/project/name.";
  if (parts.some((part) => !part.trim() || part === "." || part === "..")) return "No part of a name is empty, “.” or “..”.";
  if (parts[0] !== owner) return `It stays with its owner, ${owner}.`;
  return null;
}

/** What is wrong with a tag, in words. */
export function problemOfTag(tag: string, known: readonly string[]): string | null {
  if (known.includes(tag)) return "It has this tag.";
  if (new TextEncoder().encode(tag).length > TAG_MAX) return `A tag has at most ${TAG_MAX} bytes.`;
  if (known.length >= TAGS_MAX) return `An experiment has at most ${TAGS_MAX} tags.`;
  return null;
}
