/** The pages put together: which one an address names, and who may see it. */

import { effect, signal } from "@preact/signals";
import { type JSX, render } from "preact";

import { ComparePage } from "./pages/compare/ComparePage";
import { ExperimentPage } from "./pages/experiment/ExperimentPage";
import { ExperimentsPage } from "./pages/experiments/ExperimentsPage";
import { SignInPage } from "./pages/SignInPage";
import { signedOut } from "./state/connection";
import { loadSession, session } from "./state/session";
import { navigate, place, prefixOf } from "./state/url";
import { Empty, Link } from "./ui/basic";
import { Frame } from "./ui/Frame";

const RETRY = 2000;
const ready = signal(false);

function App(): JSX.Element {
  return <Frame>{ready.value ? <Page /> : <p class="loading">Loading…</p>}</Frame>;
}

function Page(): JSX.Element {
  const { path } = place.value;
  if (path === "/sign-in" || !session.value?.signedIn) return <SignInPage />;
  if (path === "/") return <ExperimentsPage />;
  if (path === "/compare") return <ComparePage />;
  const prefix = prefixOf(path);
  if (prefix) return <ExperimentPage key={prefix} prefix={prefix} />;
  return (
    <Empty title="Page not found.">
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

void begin();
render(<App />, document.getElementById("app")!);
