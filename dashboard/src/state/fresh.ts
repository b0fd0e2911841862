/** Whether the pages that run here are those that the server has: a tab may be older than the server that it asks. */

import { signal } from "@preact/signals";

import { addressOf } from "./base";
import { connection } from "./connection";

/** The server has other pages by now. */
export const outdated = signal(false);

/** Milliseconds between two looks that nothing but a glance at the tab is a reason for. */
const AGAIN = 10 * 60_000;
let looked = Date.now();

/** Return the scripts that a page loads. Their names change with what is in them. */
export function scriptsIn(html: string): string[] {
  return [...html.matchAll(/<script[^>]+src="[^"]*?([^/"]+\.js)"/g)].map(([, name]) => name!);
}

async function look(): Promise<void> {
  looked = Date.now();
  const own = scriptsIn(document.documentElement.outerHTML);
  try {
    const answer = await fetch(addressOf("/sign-in"), { headers: { Accept: "text/html" } });
    const now = answer.ok ? scriptsIn(await answer.text()) : [];
    // without any it is another page, as of a proxy
    if (now.length && !now.every((name) => own.includes(name))) outdated.value = true;
  } catch {
    // it is away again; when it is back is the next look
  }
}

/** Look when the server is back, since it may be another one, and now and then when somebody comes back to the tab. */
export function watchPages(): void {
  let wasAway = false;
  connection.subscribe(({ online }) => {
    if (online && wasAway) void look();
    wasAway = !online;
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Date.now() - looked > AGAIN) void look();
  });
}
