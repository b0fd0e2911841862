/** What surrounded a run: its command, code, packages and machine, and where a failure came from. */

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

import { get } from "../../../api/client";
import { encode } from "../../../api/json";
import type { Environment, Environments, Experiment } from "../../../api/types";
import { usePoll } from "../../../state/poll";
import { SearchField, Select } from "../../../ui/basic";
import { bytes, several, text, whole } from "../../../ui/format";
import { plain } from "../../../ui/terminal";
import { TerminalText } from "../../../ui/TerminalText";
import { DiffText } from "./DiffText";
import { listOf, mapOf } from "./values";

const AGAIN = 60_000;
const PROCESSES_MAX = 200;

type Facts = readonly (readonly [string, string])[];

/** Return what surrounded each process of an experiment, the newest first; null until it is known. */
export function useEnvironments(record: Experiment): Environment[] | null {
  const [processes, setProcesses] = useState<Environment[] | null>(null);
  usePoll(
    async (signal) => {
      const found = await environmentsOf(record.id, signal);
      setProcesses((before) => (before && encode(before) === encode(found) ? before : found));
    },
    AGAIN,
    [record.id, record.attempts, record.status],
  );
  return processes;
}

/** Ask for what surrounded the newest processes of an experiment. */
export async function environmentsOf(id: string, signal: AbortSignal): Promise<Environment[]> {
  const found: Environment[] = [];
  for (let total = 1; found.length < Math.min(total, PROCESSES_MAX); ) {
    const page = await get<Environments>(`experiments/${id}/environments`, { start: found.length }, signal);
    found.push(...page.data);
    total = page.data.length ? page.total : 0;
  }
  return found;
}

/** Where the newest process that failed has failed; of an attempt that another one came after, it is folded. */
export function Failure(props: { processes: readonly Environment[]; attempts: number }): JSX.Element | null {
  const failed = props.processes.find((each) => typeof each.environment.traceback === "string");
  if (!failed) return null;
  const isOld = failed.attempt !== null && failed.attempt < props.attempts;
  return (
    <section class="card surroundings" aria-label="Traceback">
      <details open={!isOld}>
        <summary>
          <h2>Traceback{isOld && ` of attempt ${failed.attempt}`}</h2>
        </summary>
        <pre class="problem error-text traceback" tabIndex={0}>
          <TerminalText text={String(failed.environment.traceback)} />
        </pre>
      </details>
    </section>
  );
}

/** What surrounded a process; of several, the one that is chosen. */
export function Surroundings({ processes }: { processes: readonly Environment[] }): JSX.Element {
  const [chosen, setChosen] = useState("0");
  const shown = processes[Number(chosen)] ?? processes[0];
  if (!shown) {
    return (
      <Section title="Environment">
        <p class="muted">
          Nothing of what surrounded this experiment was captured: <code>Experiment(…, capture=True)</code>
        </p>
      </Section>
    );
  }
  return (
    <>
      {processes.length > 1 && (
        <div class="controls">
          <Select
            label="Process"
            value={chosen}
            options={processes.map((each, at) => [String(at), nameOf(each)] as const)}
            onChange={setChosen}
          />
        </div>
      )}
      <OfProcess of={shown} />
    </>
  );
}

function nameOf({ attempt, rank, host, pid }: Environment): string {
  const parts = [attempt === null ? null : `attempt ${attempt}`, rank ? `rank ${rank}` : null, host, pid && `process ${pid}`];
  return plain(parts.filter((part) => part !== null).join(", "));
}

/** Whoever writes a journal by other means may have put anything in the place of each of these. */
function OfProcess({ of }: { of: Environment }): JSX.Element {
  const { environment } = of;
  const git = mapOf(environment.git);
  const python = mapOf(environment.python);
  const command = listOf(environment.command).map(String);
  return (
    <div class="surroundings">
      {command.length > 0 && (
        <Section title="Command">
          <pre class="code" tabIndex={0}>
            <code>{plain(command.map(quoted).join(" "))}</code>
          </pre>
          <Pairs
            of={[
              ["Script", told(environment.script)],
              ["Directory", told(environment.directory)],
              ["User", told(environment.user)],
              ["Python", [python.implementation, python.version, python.executable].filter(Boolean).map(String).join(" ")],
            ]}
          />
        </Section>
      )}
      {Object.keys(git).length > 0 && <Code git={git} />}
      <Section title="Machine">
        <Pairs of={machineOf(environment)} />
      </Section>
      {Object.keys(mapOf(environment.variables)).length > 0 && (
        <Folded title="Variables" count={Object.keys(mapOf(environment.variables)).length}>
          <Pairs of={Object.entries(mapOf(environment.variables)).map(([name, value]) => [name, text(value)] as const)} />
        </Folded>
      )}
      {Object.keys(mapOf(environment.packages)).length > 0 && <Packages of={mapOf(environment.packages)} />}
      {Object.keys(mapOf(environment.missing)).length > 0 && (
        <Section title="Not captured">
          <Pairs of={Object.entries(mapOf(environment.missing)).map(([name, why]) => [name, text(why)] as const)} />
        </Section>
      )}
    </div>
  );
}

function Code({ git }: { git: Record<string, unknown> }): JSX.Element {
  const untracked = listOf(git.untracked).map(String);
  const count = typeof git.untrackedCount === "number" ? git.untrackedCount : untracked.length;
  const diff = typeof git.diff === "string" ? git.diff : "";
  const size = typeof git.diffBytes === "number" ? git.diffBytes : diff.length;
  return (
    <Section title="Code">
      <Pairs
        of={[
          ["Commit", told(git.commit)],
          ["Branch", told(git.branch)],
          ["Remote", told(git.remote)],
          ["Changes", git.dirty === false ? "none: the commit is what ran" : diff ? bytes(size) : git.dirty ? "untracked files" : ""],
          ["Untracked", untracked.join(", ") + (count > untracked.length ? ` and ${whole(count - untracked.length)} more` : "")],
        ]}
      />
      {diff && (
        <details>
          <summary>What was changed since the commit</summary>
          <DiffText text={diff} isCut={size > new Blob([diff]).size} />
        </details>
      )}
    </Section>
  );
}

function Packages({ of }: { of: Record<string, unknown> }): JSX.Element {
  const [search, setSearch] = useState("");
  const all = Object.entries(of);
  const found = all.filter(([name]) => name.toLowerCase().includes(search.toLowerCase()));
  return (
    <Folded title="Packages" count={all.length}>
      <div class="controls">
        <SearchField label="Find packages" value={search} onInput={setSearch} />
        <span class="muted" role="status">
          {found.length === all.length ? several(all.length, "package") : `${whole(found.length)} of ${whole(all.length)}`}
        </span>
      </div>
      <div class="packages">
        <Pairs of={found.map(([name, version]) => [name, text(version)] as const)} />
      </div>
    </Folded>
  );
}

function machineOf(environment: Record<string, unknown>): Facts {
  const cpu = mapOf(environment.cpu);
  const gpus = listOf(environment.gpus).map(mapOf);
  const memory = environment.memory;
  return [
    ["Host", told(environment.host)],
    ["System", told(environment.os)],
    ["Processor", told(cpu.model)],
    ["Cores", cpu.usable == null ? "" : cpu.usable === cpu.count ? text(cpu.count) : `${text(cpu.usable)} of ${text(cpu.count)}`],
    ["Memory", typeof memory === "number" ? bytes(memory) : ""],
    ...gpus.map((gpu, at) => {
      const size = typeof gpu.memory === "number" ? bytes(gpu.memory) : null;
      const driver = gpu.driver ? `driver ${text(gpu.driver)}` : null;
      return [`GPU ${at}`, [told(gpu.name), size, driver].filter(Boolean).join(", ")] as const;
    }),
  ];
}

function Section(props: { title: string; children: ComponentChildren }): JSX.Element {
  return (
    <section class="card" aria-label={props.title}>
      <h2>{props.title}</h2>
      {props.children}
    </section>
  );
}

/** A section that few look into: it is opened by a click. */
function Folded(props: { title: string; count: number; children: ComponentChildren }): JSX.Element {
  return (
    <section class="card" aria-label={props.title}>
      <details>
        <summary>
          <h2>
            {props.title} <span class="count">{whole(props.count)}</span>
          </h2>
        </summary>
        {props.children}
      </details>
    </section>
  );
}

/** Names and values; those without a value are left out. */
function Pairs({ of }: { of: Facts }): JSX.Element {
  return (
    <table class="pairs">
      <tbody>
        {of
          .filter(([, value]) => value)
          .map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{plain(name)}</th>
              <td class="value">{plain(value)}</td>
            </tr>
          ))}
      </tbody>
    </table>
  );
}

function told(value: unknown): string {
  return value === null || value === undefined ? "" : text(value);
}

/** An argument as a shell takes it. */
function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", `'"'"'`)}'`;
}
