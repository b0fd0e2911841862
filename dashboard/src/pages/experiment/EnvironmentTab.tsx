/** What surrounded a run: its command, code, packages and machine, and where a failure came from. */

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";

import { get } from "../../api/client";
import type { Environment, Environments, Experiment } from "../../api/types";
import { usePoll } from "../../state/poll";
import { Empty, SearchField, Select } from "../../ui/basic";
import { bytes, several, text, whole } from "../../ui/format";
import { plain } from "../../ui/terminal";
import { TerminalText } from "../../ui/TerminalText";

const AGAIN = 60_000;
const LINES_MAX = 5000;

type Facts = readonly (readonly [string, string])[];

export function EnvironmentTab({ record }: { record: Experiment }): JSX.Element {
  const [processes, setProcesses] = useState<Environment[] | null>(null);
  const [chosen, setChosen] = useState("0");
  usePoll(
    async (signal) => {
      const found: Environment[] = [];
      for (let total = 1; found.length < total; ) {
        const path = `experiments/${record.id}/environments`;
        const page = await get<Environments>(path, { start: found.length }, signal);
        found.push(...page.data);
        total = page.data.length ? page.total : 0;
      }
      setProcesses(found);
    },
    AGAIN,
    [record.id, record.entries],
  );
  if (!processes) return <p class="loading">Loading…</p>;
  const shown = processes[Number(chosen)] ?? processes[0];
  if (!shown) {
    return <Empty title="Nothing of what surrounded this experiment was captured." code="Experiment(…, capture=True)" />;
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
      <Surroundings of={shown} />
    </>
  );
}

function nameOf({ attempt, rank, host, pid }: Environment): string {
  const parts = [attempt === null ? null : `attempt ${attempt}`, rank ? `rank ${rank}` : null, host, pid && `process ${pid}`];
  return plain(parts.filter((part) => part !== null).join(", "));
}

/** Whoever writes a journal by other means may have put anything in the place of each of these. */
function Surroundings({ of }: { of: Environment }): JSX.Element {
  const { environment } = of;
  const git = mapOf(environment.git);
  const python = mapOf(environment.python);
  const command = listOf(environment.command).map(String);
  return (
    <div class="surroundings">
      {typeof environment.traceback === "string" && (
        <Section title="Traceback">
          <pre class="problem error-text" tabIndex={0}>
            <TerminalText text={environment.traceback} />
          </pre>
        </Section>
      )}
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
        <Section title="Variables">
          <Pairs of={Object.entries(mapOf(environment.variables)).map(([name, value]) => [name, text(value)] as const)} />
        </Section>
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
      {diff && <Diff text={diff} isCut={size > new Blob([diff]).size} />}
    </Section>
  );
}

function Diff(props: { text: string; isCut: boolean }): JSX.Element {
  const lines = props.text.split("\n");
  return (
    <>
      <pre class="diff" tabIndex={0} aria-label="Changes against the commit">
        {lines.slice(0, LINES_MAX).map((line, at) => (
          <span key={at} class={kindOf(line)}>
            {`${plain(line)}\n`}
          </span>
        ))}
      </pre>
      {(props.isCut || lines.length > LINES_MAX) && <p class="muted">The rest was too long.</p>}
    </>
  );
}

function kindOf(line: string): string | undefined {
  if (/^(diff |index |--- |\+\+\+ )/.test(line)) return "diff-head";
  if (line.startsWith("@@")) return "diff-place";
  if (line.startsWith("+")) return "diff-added";
  return line.startsWith("-") ? "diff-removed" : undefined;
}

function Packages({ of }: { of: Record<string, unknown> }): JSX.Element {
  const [search, setSearch] = useState("");
  const all = Object.entries(of);
  const found = all.filter(([name]) => name.toLowerCase().includes(search.toLowerCase()));
  return (
    <Section title="Packages">
      <div class="controls">
        <SearchField label="Find packages" value={search} onInput={setSearch} />
        <span class="muted" role="status">
          {found.length === all.length ? several(all.length, "package") : `${whole(found.length)} of ${whole(all.length)}`}
        </span>
      </div>
      <div class="packages">
        <Pairs of={found.map(([name, version]) => [name, text(version)] as const)} />
      </div>
    </Section>
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

function mapOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function told(value: unknown): string {
  return value === null || value === undefined ? "" : text(value);
}

/** An argument as a shell takes it. */
function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", `'"'"'`)}'`;
}
