/** What is done with several runs at once; each is done by itself, so that one that cannot be changed stops no other. */

import { get } from "../../api/client";
import type { Experiment, ListedExperiment } from "../../api/types";
import { several } from "../../ui/format";
import { ARCHIVED, askToStop, cancelStop, changeTags, restore, toTrash, writeText } from "../experiment/changing/changes";

export interface Done {
  text: string;
  /** Takes back what was done; null where that cannot be. */
  undo: (() => Promise<Done>) | null;
}

type Run = Pick<ListedExperiment, "id" | "prefix" | "tags">;

const AT_ONCE = 6;
/** Of what went wrong so much is told. */
const TOLD = 3;

/** Do something with each run, a few at a time; return those with which it was done, and why not with the others. */
export async function each<T extends Run>(runs: readonly T[], act: (run: T) => Promise<unknown>): Promise<{ done: T[]; problems: string[] }> {
  const [done, problems]: [T[], string[]] = [[], []];
  for (let start = 0; start < runs.length; start += AT_ONCE) {
    const some = runs.slice(start, start + AT_ONCE);
    const answers = await Promise.allSettled(some.map(act));
    answers.forEach((answer, at) => {
      if (answer.status === "fulfilled") done.push(some[at]!);
      else problems.push(`${some[at]!.prefix}: ${(answer.reason as Error).message}`);
    });
  }
  return { done, problems };
}

function told(what: string, { done, problems }: { done: readonly Run[]; problems: readonly string[] }): string {
  const first = problems.slice(0, TOLD).join("; ");
  const more = problems.length > TOLD ? `; and ${problems.length - TOLD} more` : "";
  return `${several(done.length, "run")} ${what}.${first && ` Not ${several(problems.length, "run")}: ${first}${more}`}`;
}

export async function tag(runs: readonly Run[], add: readonly string[], taken: readonly string[], what: string): Promise<Done> {
  const found = await each(runs, (run) => changeTags(run, { add, remove: taken }));
  // what a run had before stays, and what it lacked is not given to it
  const undo = async (): Promise<Done> => {
    const back = await each(found.done, (run) =>
      changeTags(run, {
        add: taken.filter((each) => run.tags.includes(each)),
        remove: add.filter((each) => !run.tags.includes(each)),
      }),
    );
    return { text: told("are as before", back), undo: null };
  };
  return { text: told(what, found), undo: found.done.length ? undo : null };
}

export function archive(runs: readonly Run[]): Promise<Done> {
  return tag(runs, [ARCHIVED], [], "archived");
}

/** Those that go on are left: what they log would be lost to sight. */
export async function discard(runs: readonly Run[]): Promise<Done> {
  const found = await each(runs, (run) => toTrash(run));
  const undo = async (): Promise<Done> => {
    const back = await each(found.done, (run) => restore(run));
    return { text: told("are back", back), undo: null };
  };
  return { text: told("in the trash", found), undo: found.done.length ? undo : null };
}

/** Those that go on; what has ended needs no request, and says so. */
export async function stop(runs: readonly Run[]): Promise<Done> {
  const found = await each(runs, (run) => askToStop(run));
  const undo = async (): Promise<Done> => {
    const back = await each(found.done, (run) => cancelStop(run));
    return { text: told("asked to stop no more", back), undo: null };
  };
  return { text: told("asked to stop", found), undo: found.done.length ? undo : null };
}

/** What a run has noted stays, above what is written now. */
export async function note(runs: readonly Run[], text: string): Promise<Done> {
  const before = new Map<string, string>();
  const behind = (known: string): string => (known ? `${known}\n\n${text}` : text);
  const found = await each(runs, async (run) => {
    const known = (await get<Experiment>(`experiments/${run.id}`)).note ?? "";
    await writeText(run, "note", behind(known), known);
    before.set(run.id, known);
  });
  const undo = async (): Promise<Done> => {
    const back = await each(found.done, (run) => writeText(run, "note", before.get(run.id)!, behind(before.get(run.id)!)));
    return { text: told("have their notes as before", back), undo: null };
  };
  return { text: told("annotated", found), undo: found.done.length ? undo : null };
}
