"""Train on handwritten digits, compare two runs; then kill a server and a training, and check that nothing is missing.

    make demo                 a few thousand steps
    make demo ARGS=--short    half of them
    make demo ARGS=--serve    leaves the dashboard open at the end, as it is where somebody looks on

First the small training of `small.py` runs twice, with two learning rates, and both are compared. That is the product.

Then its promise. A larger training runs in a process of its own, and logs to a server, which runs in another. At a
third of the steps the server is killed (SIGKILL, the worst that can happen to it). At half of them the training is
killed, too; a second process goes on from the last checkpoint. At two thirds the server is started again, with what it
had. In the end everything is read back, from the journal on disk and from the server, and held against a plain file, to
which the training wrote each step before it logged it. Last of all, the dashboard shows all of it.

`train` is what a training script with checkpoints looks like; the short one is `small.py`. Below it is what kills and
checks, which a training script does not need. The network is in `digits_network.py`, in plain numpy; the checks are in
`digits_checks.py`, the processes in `digits_processes.py`.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import shutil
import signal
import sys
import time

if __name__ == "__main__":  # its neighbours are found from the project's root
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from docs.examples import digits_checks as checks
from docs.examples.digits_dashboard import Dashboard
from docs.examples.digits_files import check_files, picture_of, save_files
from docs.examples.digits_network import SHORT, Config, Data, Network, learning_rate, steps_per_epoch
from docs.examples.digits_processes import Children, Server, Training, sync, train_small
from docs.examples.digits_witness import Attempt, Witness
from ml_dash import Experiment
from ml_dash.errors import MLDashError

# --- The training: this is what a script with ML-Dash looks like


def train(prefix: str, root: str, url: str, config: Config, attempt: int) -> None:
    """Train from the last checkpoint, or from the start where there is none."""
    data = Data(config.seed)
    network = Network((64, *config.hidden, 10), config.seed)
    first_epoch = 0
    accuracies: list[float] = []
    frames = [picture_of(network.weights[0])]
    exp = Experiment(prefix, dash_root=root, dash_url=url, tags=["demo"], readme="Handwritten digits.")
    witness = Witness(exp, attempt)
    with exp.run:
        checkpoint = os.path.join(exp.directory, "checkpoint.npz")
        if os.path.exists(checkpoint):
            first_epoch = network.load(checkpoint)
            exp.log("Resumed from the checkpoint", level="warn", epoch=first_epoch, attempt=attempt)
        exp.params.set(training=config, data={"name": "digits", "train": len(data.labels)})

        step = first_epoch * steps_per_epoch(config)
        for epoch in range(first_epoch, config.epochs):
            for images, labels in data.batches(epoch, config):
                rate = learning_rate(step, config)
                result, norm = network.step(images, labels, rate, config)

                witness.write(step=step, lr=rate, **result)
                started = time.perf_counter_ns()
                exp.metrics("train").log(attempt=attempt, step=step, lr=rate, **result)
                witness.took(time.perf_counter_ns() - started)

                exp.metrics("batches").buffer(gradient_norm=norm, **result)
                step += 1

            exp.metrics("batches").buffer.log_summary("mean", "std", "p95")
            on_test = network.evaluate(data.test_images, data.test_labels)
            exp.metrics.log(
                attempt=attempt,
                epoch=epoch,
                seen=network.evaluate(data.images, data.labels),
                unseen=on_test,
            )
            if epoch % 6 == 5:
                exp.log("Epoch done", epoch=epoch, accuracy=round(on_test["accuracy"], 4))

            # First the journal, then the checkpoint: no step that the checkpoint has behind it is missing in the
            # journal. The steps after it are trained again after a crash, and logged as another attempt. That the
            # server has the rows does not matter here: it gets them when it can be reached.
            flushed = exp.flush()
            if flushed.durable < flushed.acknowledged + flushed.pending or flushed.dropped:
                exp.logs.error("Not all rows are in the journal", reason=flushed.reason)
            witness.flushed(step)
            network.save(checkpoint, epoch + 1)
            accuracies.append(on_test["accuracy"])
            frames.append(picture_of(network.weights[0]))
        save_files(exp, checkpoint, accuracies, frames)
        exp.log("Training done", metadata=on_test, steps=step)


# --- The comparison, the kills, and what is found afterwards

_RATES = "0.02", "0.5"


class Demo:
    """One demonstration, told as it happens.

    Args:
        root: Where everything lies, the server's data too.
        short: Whether to train for half of the steps only.
        serve: Whether to leave the dashboard open at the end.
    """

    def __init__(self, root: str, *, short: bool, serve: bool) -> None:
        self._serve = serve
        self._began = time.monotonic()
        self._config = SHORT if short else Config()
        self._name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}"
        self._prefix = f"demo/digits/{self._name}"
        self._small = {rate: f"demo/small/{self._name}/rate-{rate}" for rate in _RATES}
        self._options = [f"--root={root}", f"--prefix={self._prefix}", *(["--short"] if short else [])]
        self._root = root
        self._journal = Experiment(self._prefix, dash_root=root)  # never started here: to read is enough
        self._directory = self._journal.directory

    def run(self) -> None:
        """Train, kill, resume, check and tell."""
        os.makedirs(self._directory)
        with Children() as children:
            self._compare(children)
        token_path = os.path.join(self._directory, "server.token")
        token = os.environ["ML_DASH_TOKEN"] = make_token(token_path)  # for the training, and for reading here
        with Children() as children:
            server = Server(children, self._directory, token)
            # `ml-dash sync` hears of the server from the journal only
            os.environ["ML_DASH_TOKEN_ORIGIN"] = server.url
            kill, outage = self._train_and_kill(children, server)
            at_server = Experiment(self._prefix, dash_url=server.url, dash_root=None)
            attempts = Attempt.of(self._directory, 1), Attempt.of(self._directory, 2)
            account = checks.check_the_law(attempts[1], self._config)
            checks.check_acknowledged(at_server.metrics("train").to_numpy(), attempts[1], self._config)
            self._send_what_is_left(children, at_server)
            summary = self._check(at_server, attempts, kill, outage)
            server.stop()
        summary |= {
            "status()": f"of the second process: {account}",
            "time": f"{time.monotonic() - self._began:.1f} s",
        }
        print("\nRead back, from the journal and from the server, and checked:")
        for name, text in summary.items():
            print(f"  {name:<13} {text}")
        self._tell_where(server, token_path)
        with Children() as children:
            self._show(children)

    def _compare(self, children: Children) -> None:
        """Train the small example with two learning rates, and hold the runs side by side."""
        self._tell("docs/examples/small.py trains on handwritten digits, with two learning rates.")
        for rate, prefix in self._small.items():
            train_small(children, rate, prefix, self._root)
        print(f"\n  {'rate':<6}{'last loss':>10}{'best accuracy on unseen digits':>34}")
        for rate, prefix in self._small.items():
            run = Experiment(prefix, dash_root=self._root)
            accuracy = run.metrics("test").stats()["fields"]["accuracy"]["max"]
            loss = run.metrics("train").stats()["fields"]["loss"]["last"]
            print(f"  {rate:<6}{loss:>10.4f}{accuracy:>34.4f}")
        print("\nThat is what it is for. Now what it promises:\n", flush=True)

    def _train_and_kill(self, children: Children, server: Server) -> tuple[checks.Kill, checks.Outage]:
        """Return how the first training was killed, and when the server was away."""
        epochs, of_epoch = self._config.epochs, steps_per_epoch(self._config)
        total = epochs * of_epoch
        # Late in an epoch, so that there is something to lose.
        kill_step = (epochs // 2 - 1) * of_epoch + of_epoch * 9 // 10
        options = [*self._options, f"--url={server.url}"]

        server.start()
        self._tell(f"A server listens on {server.url}.")
        training = Training(children, self._directory, options, 1)
        self._tell(f"A training of {total:,} steps begins, and logs to it.")
        training.reach(total // 3)
        outage_began = server.kill()
        self._tell(f"Step {total // 3:,}: the server is killed (SIGKILL). The training goes on.")
        training.reach(kill_step)
        kill = training.kill()
        self._tell(f"Step {kill_step:,}: the training is killed (SIGKILL), too.")
        checks.check(
            self._journal.view.run().stale, "readers should see that the killed run is dead, and do not"
        )
        training = Training(children, self._directory, options, 2)
        self._tell("A second process resumes it from the last checkpoint, with no server.")
        training.reach(total * 2 // 3)
        self._tell(f"Step {total * 2 // 3:,}: the server is started again.")
        outage = checks.Outage(outage_began, server.start())
        self._tell(f"The server listens again, after {outage.ended - outage.began:.1f} s.")
        training.finish()
        self._tell("The training has ended.")
        return kill, outage

    def _send_what_is_left(self, children: Children, at_server: Experiment) -> None:
        """Send what the killed training left in its journal, unless the second one has sent it."""
        left = (checks.all_rows(self._journal) - checks.all_rows(at_server)).total()
        if left:
            self._tell(f"{left:,} rows are only in the journal so far: `ml-dash sync` sends them.")
        else:
            self._tell(
                "The second process has sent what the first one left, so `ml-dash sync` has nothing to send."
            )
        sync(children, self._directory)

    def _check(
        self,
        at_server: Experiment,
        attempts: tuple[Attempt, Attempt],
        kill: checks.Kill,
        outage: checks.Outage,
    ) -> dict[str, str]:
        """Check everything, in the journal and at the server; return what is to be said of it."""
        first, second = attempts
        found_here = checks.check_place("in the journal", self._journal, self._config, attempts, kill)
        found = checks.check_place("at the server", at_server, self._config, attempts, kill)
        checks.check_same_rows(checks.all_rows(self._journal), checks.all_rows(at_server))
        checks.check_same_parameters(self._journal.params.get(), at_server.params.get())
        calls = first.calls + second.calls
        return {
            "steps": f"each of {self._config.epochs * steps_per_epoch(self._config):,} is there, and in no attempt "
            f"twice; {found.repeated} were done, and logged, by both attempts",
            "server": f"{found.rows:,} rows of {found.metrics} metrics and {found.messages} messages: each row of the "
            "journal exactly once, and no other",
            "files": check_files(self._journal, at_server, self._directory),
            "outage": checks.describe_outage(self._journal, outage),
            "kill": checks.describe_loss(first, found.lost, kill),
            "log()": f"took {checks.describe_calls(calls)}",
            "  in outage": f"took {checks.describe_calls([call for call in calls if outage.covers(call.time)])}",
            "run": checks.describe_status(found_here, found),
            "accuracy": f"{found.accuracy:.4f} on digits that it was not trained on",
        }

    def _tell(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:5.1f} s  {text}", flush=True)

    def _tell_where(self, server: Server, token_path: str) -> None:
        """Say where everything is, and how to look at it."""
        in_root = "" if self._root == ".dash" else f" --root {shlex.quote(self._root)}"
        token = f'"Authorization: Bearer $(cat {near(token_path)})"'
        print(f"\nThe journal lies in {self._directory}")
        print(f"  {command()} show {self._prefix}{in_root}")
        print(f"The server is stopped; its data lie in {server.data}. To ask it again:")
        print(f"  {command()} server --data {near(server.data)} --port {server.port}")
        print(f"  curl -H {token} '{server.url}/api/v1/experiments?prefix={self._prefix}'")

    def _show(self, children: Children) -> None:
        """Open the dashboard, look at the run in it, and say where it is."""
        in_root = "" if self._root == ".dash" else f" {shlex.quote(self._root)}"
        dashboard = Dashboard(children, self._root, self._directory)
        steps = self._config.epochs * steps_per_epoch(self._config)
        print(f"\nThe dashboard has all runs; {dashboard.check(self._prefix, steps)}.")
        if self._serve:
            print(f"It stays open until Ctrl-C:\n  {dashboard.address()}")
        else:
            print(f"It opens by\n  {command()} ui{in_root}")
        base = dashboard.address().partition("#")[0] if self._serve else ""
        both = "&".join(f"e={prefix}" for prefix in self._small.values())
        print(f"In it, the two small runs compared:\n  {base or '/'}compare?{both}")
        print(f"and the one that was killed:\n  {base or '/'}experiments/{self._prefix}", flush=True)
        if self._serve:
            dashboard.wait()


def make_token(path: str) -> str:
    """Make up the token of the server's administrator, and keep it where only its owner can read it."""
    token = secrets.token_urlsafe(32)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(token)
    return token


def command() -> str:
    """Return how `ml-dash` is called here."""
    beside = os.path.join(os.path.dirname(sys.executable), "ml-dash")
    return "ml-dash" if shutil.which("ml-dash") else near(beside)


def near(path: str) -> str:
    """Return a path as it can be pasted into a shell here."""
    return shlex.quote(os.path.relpath(path))


# --- Putting it together


def main() -> int:
    """Run the demo, or, with --attempt, one of its two training processes."""
    options = parse_options()
    if options.attempt:
        config = SHORT if options.short else Config()
        train(options.prefix, options.root, options.url, config, options.attempt)
        return 0
    end_on_signals()
    try:
        Demo(options.root, short=options.short, serve=options.serve or sys.stdout.isatty()).run()
    except (checks.DemoError, MLDashError, OSError) as error:
        return fail(" ".join(str(error).split()))
    except KeyboardInterrupt:
        return fail("it was interrupted")
    return 0


def fail(reason: str) -> int:
    """Say in one line why the demo failed; return the exit status."""
    print(f"\nDEMO FAILED: {reason}", file=sys.stderr)
    return 1


def end_on_signals() -> None:
    """Let what ends the demo end its processes, too, as Ctrl-C does."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train on handwritten digits, be killed, resume, and check.")
    parser.add_argument("--root", default=".dash", help="where the data goes (default: .dash)")
    parser.add_argument("--short", action="store_true", help="half of the steps only")
    parser.add_argument(
        "--serve", action="store_true", help="leave the dashboard open (default where this is a terminal)"
    )
    parser.add_argument("--attempt", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--prefix", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
