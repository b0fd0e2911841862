/** What surrounds every page: the head with the way home, the theme, and who is signed in. */

import { signal } from "@preact/signals";
import { Keyboard, LogOut, Moon, Sun, Trash2 } from "lucide-preact";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { forgetDrafts } from "../state/drafts";
import { session, signOut } from "../state/session";
import { switchTheme, theme } from "../state/theme";
import { navigate } from "../state/url";
import { Banner, Link } from "./basic";
import { Notice } from "./Notice";

const keysShown = signal(false);

export function Frame(props: {
  /** Where the page is, beside the way home. */
  start?: ComponentChildren;
  /** What keys do on the page. */
  keys: readonly (readonly [string, string])[];
  children: ComponentChildren;
}): JSX.Element {
  useEffect(() => {
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
  return (
    <>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <header class="head">
        <Link href="/" class="brand" aria-label="ML-Dash">
          <span class="mark" aria-hidden="true" />
          <span class="brand-name">ML-Dash</span>
        </Link>
        {props.start}
        <div class="head-end">
          {(session.value?.writes.length ?? 0) > 0 && (
            <Link class="icon-link" href="/trash" aria-label="Trash" title="Trash">
              <Trash2 />
            </Link>
          )}
          <button type="button" class="icon shown" title="Keyboard shortcuts (?)" aria-label="Keyboard shortcuts" onClick={() => (keysShown.value = true)}>
            <Keyboard />
          </button>
          <button
            type="button"
            class="icon shown"
            aria-label={theme.value === "dark" ? "Light theme" : "Dark theme"}
            title={theme.value === "dark" ? "Light theme" : "Dark theme"}
            onClick={switchTheme}
          >
            {theme.value === "dark" ? <Sun /> : <Moon />}
          </button>
          {session.value?.signedIn && session.value.mode === "server" && (
            <>
              <span class="muted who">{session.value.name}</span>
              <button type="button" class="icon shown" aria-label="Sign out" title="Sign out" onClick={() => void leave()}>
                <LogOut />
              </button>
            </>
          )}
        </div>
      </header>
      <Banner />
      <main id="main">{props.children}</main>
      <Notice />
      {keysShown.value && <Keys keys={props.keys} />}
    </>
  );
}

async function leave(): Promise<void> {
  await signOut();
  forgetDrafts();
  navigate("/sign-in");
}

function onKey(event: KeyboardEvent): void {
  const field = event.target as HTMLElement;
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(field.tagName) && (field as HTMLInputElement).type !== "checkbox";
  if (event.key === "Escape" && typing) field.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    document.querySelector<HTMLInputElement>("[data-main-search]")?.focus();
  } else if (event.key === "?") {
    keysShown.value = true;
  }
}

function Keys({ keys }: { keys: readonly (readonly [string, string])[] }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="keys" aria-labelledby="keys-title" onClose={() => (keysShown.value = false)}>
      <h2 id="keys-title">Keyboard shortcuts</h2>
      <dl>
        {[...keys, ["?", "these keys"] as const].map(([key, what]) => (
          <div key={key}>
            <dt>
              {key.split(/ {2,}/).map((each) => (
                <kbd key={each}>{each}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <button type="button" onClick={() => dialog.current?.close()}>
        Close
      </button>
    </dialog>
  );
}
