"""Ask whether what is installed has known faults, and say what was asked.

A check that could not ask has not passed: pip-audit, for one, ends with "No known vulnerabilities found" where the
index knows nothing of vulnerabilities. So each question here has three answers, and what was not checked is named.

Exit status: 0 all was checked, 1 something is known to be faulty, 2 something could not be checked.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PROJECT = Path(__file__).resolve().parent.parent
OURS = "ml-dash"
"""No index has the version that lies here."""
_SECONDS = 300
_YANKED = re.compile(r"yanked version: '([^']+)' candidate \(version ([^ )]+)")


class Answer(NamedTuple):
    """What came of one question.

    Attributes:
        checked: How many packages somebody knew something of.
        faults: What is known to be wrong, one line each.
        unknown: What nobody could be asked about, one line each.
    """

    checked: int
    faults: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def vulnerabilities(output: str, errors: str = "") -> Answer:
    """Return what pip-audit says, given its JSON."""
    found = _json(output)
    if "dependencies" not in found:
        return Answer(0, unknown=(f"pip-audit got no answer: {_last_line(errors)}",))
    packages = [each for each in found["dependencies"] if each["name"] != OURS]
    asked = [each for each in packages if "skip_reason" not in each]
    faults = [
        f"{each['name']} {each['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'no release'}"
        for each in asked
        for fault in each["vulns"]
    ]
    unknown = [each["skip_reason"] for each in packages if "skip_reason" in each]
    if unknown and not asked:
        unknown = [
            f"no database of vulnerabilities answers for any of {len(unknown)} Python packages: {unknown[0]}"
        ]
    return Answer(len(asked), tuple(faults), tuple(unknown))


def withdrawn(installed: Iterable[str], report: str, errors: str) -> Answer:
    """Return what pip says of releases that their authors have withdrawn, given its report of installing just these."""
    found = _json(report)
    if "install" not in found:
        return Answer(0, unknown=(f"the index could not be asked: {_last_line(errors)}",))
    known = {_normal(each["metadata"]["name"]) for each in found["install"]}
    faults = [f"{name} {version}: withdrawn by its authors" for name, version in _YANKED.findall(errors)]
    names = [_normal(line.partition("==")[0]) for line in installed]
    unknown = [f"the index does not have {name}" for name in names if name not in known]
    return Answer(len(known), tuple(faults), tuple(unknown))


def advisories(output: str) -> Answer:
    """Return what npm says of the dashboard's packages, given its JSON."""
    found = _json(output)
    if "vulnerabilities" not in found:
        message = str(found.get("message", "npm gave no answer")).partition(" - ")[0]
        return Answer(
            0, unknown=(f"no database of vulnerabilities answers for the packages of npm: {message}",)
        )
    faults = [f"{name}: {each['severity']}" for name, each in found["vulnerabilities"].items()]
    return Answer(found["metadata"]["dependencies"]["total"], tuple(faults))


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"


def _run(*command: str, folder: Path = PROJECT) -> tuple[str, str]:
    try:
        ended = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    return ended.stdout, ended.stderr


def _ask_pip_audit() -> Answer:
    return vulnerabilities(
        *_run(sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off")
    )


def _ask_index() -> Answer:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    frozen, errors = _run(*pip, "freeze", "--exclude-editable")
    # what comes from elsewhere, an address or a folder, is no release of an index
    installed = [line for line in frozen.splitlines() if "==" in line]
    if not installed:
        return Answer(0, unknown=(f"pip does not say what is installed: {_last_line(errors)}",))
    alone = ("--dry-run", "--ignore-installed", "--no-deps")
    return withdrawn(installed, *_run(*pip, "install", "--quiet", *alone, "--report", "-", *installed))


def _ask_npm() -> Answer:
    return advisories(_run("npm", "audit", "--json", folder=PROJECT / "dashboard")[0])


QUESTIONS: dict[str, Callable[[], Answer]] = {
    "known vulnerabilities of Python packages (pip-audit)": _ask_pip_audit,
    "releases of Python packages that were withdrawn (pip)": _ask_index,
    "known vulnerabilities of the dashboard's packages (npm audit)": _ask_npm,
}


def told(question: str, answer: Answer) -> list[str]:
    """Return what to print of an answer."""
    state = "FAULTY" if answer.faults else "ok" if answer.checked else "NOT CHECKED"
    lines = [f"{state}: {question}: {answer.checked} packages checked, {len(answer.faults)} faults"]
    lines += [f"  fault: {each}" for each in answer.faults]
    return lines + [f"  not checked: {each}" for each in answer.unknown]


def status_of(answers: Iterable[Answer], *, offline: bool) -> int:
    """Return the exit status; `offline` forgives what could not be asked, and never what is faulty."""
    answers = list(answers)
    if any(answer.faults for answer in answers):
        return 1
    return 2 if any(answer.unknown for answer in answers) and not offline else 0


def main() -> int:
    """Ask everything, print the answers, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--offline", action="store_true", help="forgive what cannot be asked here: it is printed all the same"
    )
    arguments = parser.parse_args()
    answers = []
    for question, ask in QUESTIONS.items():
        answers.append(ask())
        print("\n".join(told(question, answers[-1])), flush=True)
    return status_of(answers, offline=arguments.offline)


if __name__ == "__main__":
    sys.exit(main())
