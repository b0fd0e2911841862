/** The pages put together: which one an address names, and who may see it. */

import { effect, signal } from "@preact/signals";
import { type JSX, render } from "preact";

import { DiffPage } from "./pages/diff/DiffPage";
import { ExperimentPage } from "./pages/experiment/ExperimentPage";
import { RulesPage } from "./pages/rules/RulesPage";
import { SignInPage } from "./pages/SignInPage";
import { TrashPage } from "./pages/TrashPage";
import { formerly } from "./pages/workspace/former";
import { WorkspaceHead } from "./pages/workspace/Head";
import { KEYS, Workspace } from "./pages/workspace/Workspace";
import { signedOut } from "./state/connection";
import { watchPages } from "./state/fresh";
import { watchPrinting } from "./state/printing";
import { loadSession, session } from "./state/session";
import { folderOf, navigate, place, prefixOf, query } from "./state/url";
import { Empty, Link } from "./ui/basic";
import { Crumbs } from "./ui/Crumbs";
import { Frame } from "./ui/Frame";

const RETRY = 2000;
const ready = signal(false);

/** What keys do on pages other than the workspace. */
const CHART_KEYS: typeof KEYS = [
  ["/", "go to the search field"],
  ["+  −  ←  →  0", "zoom, pan and reset the focused chart"],
  ["drag", "zoom into a chart; with Shift, pan; double-click to reset"],
  ["Ctrl + wheel", "zoom a chart in or out"],
  ["Esc", "close, or leave a text field"],
];

function App(): JSX.Element {
  const isWorkspace = session.value?.signedIn === true && folderOf(place.value.path) !== null;
  return (
    <Frame start={isWorkspace ? <WorkspaceHead /> : <PageHead />} keys={isWorkspace ? KEYS : CHART_KEYS}>
      {ready.value ? <Page /> : <p class="loading">Loading…</p>}
    </Frame>
  );
}

/** Above what is no workspace: the way back up. */
function PageHead(): JSX.Element | null {
  // on a phone it has a line of its own, which is there from the start
  if (!ready.value) return <span class="head-crumbs" aria-hidden="true" />;
  if (!session.value?.signedIn) return null;
  const parts = prefixOf(place.value.path)?.split("/");
  if (parts) return <Crumbs above={parts.slice(0, -1)} />;
  return <Crumbs above={[]} here={NAMES[place.value.path] ?? "Not found"} />;
}

/** What pages are called that are of no folder. */
const NAMES: Readonly<Record<string, string>> = { "/diff": "Differences", "/trash": "Trash", "/rules": "Rules" };

function Page(): JSX.Element {
  const { path } = place.value;
  if (path === "/sign-in" || !session.value?.signedIn) return <SignInPage />;
  if (folderOf(path) !== null) return <Workspace />;
  if (path === "/diff") return <DiffPage />;
  if (path === "/trash") return <TrashPage />;
  if (path === "/rules") return <RulesPage />;
  const prefix = prefixOf(path);
  if (prefix) return <ExperimentPage key={prefix} prefix={prefix} />;
  return (
    <Empty title="There is no such page" hint="The address may be cut, or what it named was moved.">
      <Link href="/">All experiments</Link>
    </Empty>
  );
}

/** Ask who is signed in, until the server answers. */
async function begin(): Promise<void> {
  try {
    await loadSession();
    ready.value = true;
  } catch {
    setTimeout(() => void begin(), RETRY);
  }
}

effect(() => {
  const { path, search } = place.value;
  if (ready.value && path !== "/sign-in" && (signedOut.value || session.value?.signedIn === false)) {
    navigate(`/sign-in?to=${encodeURIComponent(path + search)}`, { replace: true });
  }
});

effect(() => {
  const now = formerly(place.value.path, query.value);
  if (now !== null) navigate(now, { replace: true });
});

watchPages();
watchPrinting();
void begin();
render(<App />, document.getElementById("app")!);
