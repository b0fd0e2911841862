/** Who is signed in. */

import { signal } from "@preact/signals";

import { get, post, remove } from "../api/client";
import type { Session } from "../api/types";
import { signedOut } from "./connection";

export const session = signal<Session | null>(null);

/** Whether who is signed in may change an owner's experiments; whoever may not sees nothing to do it with. */
export function mayWrite(owner: string): boolean {
  const writes = session.value?.writes ?? [];
  return writes.includes(owner) || writes.includes("*");
}

export async function loadSession(): Promise<Session> {
  const token = takeToken();
  session.value = token ? await exchange(token) : await get<Session>("session");
  return session.value;
}

export async function signIn(token: string): Promise<void> {
  session.value = await post<Session>("session", { token });
  signedOut.value = false;
}

export async function signOut(): Promise<void> {
  session.value = await remove<Session>("session");
}

/** A token that was used already is no reason to lock out who is signed in by it. */
async function exchange(token: string): Promise<Session> {
  try {
    return await post<Session>("session", { token });
  } catch {
    return get<Session>("session");
  }
}

/** Take the one-time token of `ml-dash ui` out of the address, so that it stays neither there nor in the history. */
function takeToken(): string | null {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) history.replaceState(null, "", `${location.pathname}${location.search}`);
  return token;
}
