/** Signing in at a server: with a token, or with a code that somebody who has one approves. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { ApiError } from "../api/client";
import { addressOf } from "../state/base";
import { signedOut } from "../state/connection";
import { session, signIn } from "../state/session";
import { navigate, query } from "../state/url";

const DEVICE = addressOf("/api/v1/device");
const GRANT = "urn:ietf:params:oauth:grant-type:device_code";

interface Login {
  device_code: string;
  user_code: string;
  verification_uri_complete?: string;
  verification_uri: string;
  interval?: number;
}

export function SignInPage(): JSX.Element {
  const [problem, setProblem] = useState("");
  const [token, setToken] = useState("");
  useEffect(() => {
    if (session.value?.signedIn) goOn();
  }, []);

  async function enter(event: Event): Promise<void> {
    event.preventDefault();
    await attempt(token.trim());
  }

  async function attempt(secret: string): Promise<void> {
    try {
      await signIn(secret);
      goOn();
    } catch (error) {
      setProblem(
        error instanceof ApiError && error.status === 401
          ? "This token is unknown, expired or revoked."
          : String((error as Error).message),
      );
    }
  }

  if (session.value?.mode === "local") {
    return (
      <section class="card narrow">
        <h1>Open the address shown in the terminal</h1>
        <p>
          The address that <code>ml-dash ui</code> prints contains a token, which signs in one browser. When it is used,
          the command prints a new address for another browser.
        </p>
        <p>
          Through a tunnel, such as <code>ssh -L 9000:127.0.0.1:7008 host</code>, put the port of the tunnel in its place.
        </p>
      </section>
    );
  }
  return (
    <section class="card narrow">
      <h1>Sign in</h1>
      {signedOut.value && <p role="status">Your session has ended. Sign in again, and you go on where you were.</p>}
      <form onSubmit={(event) => void enter(event)}>
        <label class="field">
          <span>Token</span>
          <input
            type="password"
            autocomplete="off"
            spellcheck={false}
            placeholder="mld_…"
            value={token}
            required
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        <p class="muted">
          The server printed one when it first started; <code>ml-dash server token create</code> creates more. It is
          exchanged for a cookie, with which no page of another site can do anything.
        </p>
        {problem && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" class="primary">
          Sign in
        </button>
      </form>
      <WithCode onToken={attempt} onProblem={setProblem} />
    </section>
  );
}

/** RFC 8628: shows a code, and waits until somebody with a token has approved it. */
function WithCode(props: {
  onToken: (token: string) => Promise<void>;
  onProblem: (problem: string) => void;
}): JSX.Element {
  const [login, setLogin] = useState<Login | null>(null);
  const over = useRef(false);
  useEffect(() => () => void (over.current = true), []);

  async function begin(): Promise<void> {
    const answer = await form("authorize", { client_id: "ml-dash", client_name: "a browser", scope: "*:read" });
    if (answer.user_code) setLogin(answer as unknown as Login);
    else props.onProblem(String(answer.error_description ?? "the server did not return a code"));
  }

  useEffect(() => {
    if (!login) return;
    let pause = (login.interval ?? 5) * 1000;
    const ask = async (): Promise<void> => {
      if (over.current) return;
      const answer = await form("token", {
        client_id: "ml-dash",
        grant_type: GRANT,
        device_code: login.device_code,
      });
      if (answer.access_token) return props.onToken(String(answer.access_token));
      if (answer.error === "slow_down") pause += 5000;
      else if (answer.error !== "authorization_pending" && answer.error !== "offline") {
        setLogin(null);
        return props.onProblem(String(answer.error_description ?? answer.error ?? "the code was not approved"));
      }
      setTimeout(() => void ask(), pause);
    };
    setTimeout(() => void ask(), pause);
  }, [login]);

  if (!login) {
    return (
      <p class="or">
        or{" "}
        <button type="button" onClick={() => void begin()}>
          Sign in with a code
        </button>
      </p>
    );
  }
  return (
    <div class="device" role="status">
      <p>Ask somebody who has a token to approve this code, or approve it yourself:</p>
      <p class="user-code">{login.user_code}</p>
      <a href={addressOf(`/device?user_code=${encodeURIComponent(login.user_code)}`)} target="_blank" rel="noopener">
        Approve
      </a>
      <p class="muted">Waiting…</p>
    </div>
  );
}

async function form(path: string, fields: Record<string, string>): Promise<Record<string, unknown>> {
  try {
    const answer = await fetch(`${DEVICE}/${path}`, { method: "POST", body: new URLSearchParams(fields) });
    return (await answer.json()) as Record<string, unknown>;
  } catch {
    return { error: "offline", error_description: "the server does not answer" };
  }
}

/** Go where somebody wanted to go; nowhere else than in this site. */
function goOn(): void {
  const to = query.value.get("to") ?? "/";
  navigate(to.startsWith("/") && !to.startsWith("//") && !to.startsWith("/sign-in") ? to : "/", { replace: true });
}
