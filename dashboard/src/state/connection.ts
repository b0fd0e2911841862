/** Whether the server answers, and whether it knows who asks. */

import { signal } from "@preact/signals";

/** `since`: when it stopped answering, in milliseconds since the epoch. */
export const connection = signal<{ online: boolean; since: number | null }>({ online: true, since: null });

/** The session has ended: the page must ask for a token. */
export const signedOut = signal(false);
