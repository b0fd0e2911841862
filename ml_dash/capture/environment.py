"""What a process says of itself and its machine: command, Python, packages, host, processors, cards, variables.

Variables of the environment are taken by a list of names, never all of them: nobody knows where secrets lie in those.
Packages are told by the names of their ``.dist-info`` directories: to read 300 files of metadata would hold the
interpreter's lock for a tenth of a second, beside a training that wants it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

from ml_dash.capture.masking import masked, masked_arguments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAMES = frozenset({
    "CONDA_DEFAULT_ENV", "CUBLAS_WORKSPACE_CONFIG", "CUDA_LAUNCH_BLOCKING", "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES", "JAX_PLATFORMS", "MKL_NUM_THREADS", "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS",
    "PYTHONHASHSEED", "PYTORCH_CUDA_ALLOC_CONF", "TF_CPP_MIN_LOG_LEVEL", "VIRTUAL_ENV", "XLA_FLAGS",
    # of torchrun and MPI
    "GROUP_RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK",
    "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE",
    "RANK", "ROLE_RANK", "TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_RUN_ID", "WORLD_SIZE",
    # of Kubernetes, by the names that its manual gives them
    "HOSTNAME", "JOB_NAME", "KUBERNETES_SERVICE_HOST", "NAMESPACE", "NODE_NAME", "POD_NAME", "POD_NAMESPACE",
    # SLURM's: there are others that hold keys
    "SLURMD_NODENAME", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_CLUSTER_NAME", "SLURM_CPUS_PER_TASK",
    "SLURM_GPUS", "SLURM_GPUS_ON_NODE", "SLURM_JOB_ACCOUNT", "SLURM_JOB_ID", "SLURM_JOB_NAME",
    "SLURM_JOB_NODELIST", "SLURM_JOB_PARTITION", "SLURM_JOB_QOS", "SLURM_LOCALID", "SLURM_NNODES",
    "SLURM_NODEID", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_RESTART_COUNT", "SLURM_SUBMIT_DIR",
})  # fmt: skip
_TEXT_MAX = 4096
_ARGUMENTS_MAX = 1000
_PACKAGES_MAX = 5000
_SUFFIXES = (".dist-info", ".egg-info")


def environment(script: str | None, argv: Iterable[str]) -> dict[str, Any]:
    """Return what describes this process and its machine.

    Args:
        script: path of the script, as far as there is one.
        argv: its command line, without the interpreter.

    Returns:
        ``command`` (a list, without secrets), ``script``, ``directory``, ``user``, ``python`` (``version``,
        ``implementation``, ``executable``), ``host``, ``os``, ``cpu`` (``model``, ``count``, ``usable``), ``memory``
        (bytes), ``gpus`` (a list of ``name``, ``memory`` in bytes, and ``driver``) and ``variables``. What cannot be
        told is None.
    """
    return {
        "command": [each[:_TEXT_MAX] for each in masked_arguments(_command(argv))][:_ARGUMENTS_MAX],
        "script": script,
        "directory": _working_directory(),
        "user": _user(),
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "executable": sys.executable,
        },
        "host": platform.node(),
        "os": platform.platform(),
        "cpu": {"model": _cpu_model(), "count": os.cpu_count(), "usable": _usable_cpus()},
        "memory": _memory(),
        "gpus": graphics_cards(),
        "variables": variables(os.environ),
    }


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that tell of machines, jobs and libraries; see the module."""
    return {name: masked(environ[name])[:_TEXT_MAX] for name in sorted(_NAMES & environ.keys())}


def packages(path: Iterable[str]) -> dict[str, str]:
    """Return the versions of what is installed along a module search path, by name; the first one of a name counts."""
    found: dict[str, str] = {}
    for directory in path:
        with contextlib.suppress(OSError, ValueError), os.scandir(directory or ".") as entries:
            for entry in entries:
                stem, suffix = os.path.splitext(entry.name)
                name, sign, version = stem.partition("-")
                if suffix in _SUFFIXES and sign and len(found) < _PACKAGES_MAX:
                    found.setdefault(name.replace("_", "-").lower(), version.partition("-py")[0])
    return dict(sorted(found.items()))


def graphics_cards() -> list[dict[str, Any]]:
    """Return the NVIDIA cards of this machine, by the driver's library, or for want of that, the kernel's files."""
    try:
        import pynvml
    except ImportError:
        return _cards_by_kernel()
    try:
        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 - NVMLError, which may be of a broken installation
        return []
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        handles = [pynvml.nvmlDeviceGetHandleByIndex(at) for at in range(pynvml.nvmlDeviceGetCount())]
        return [
            {
                "name": _text(pynvml.nvmlDeviceGetName(handle)),
                "memory": int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
                "driver": driver,
            }
            for handle in handles
        ]
    except Exception:  # noqa: BLE001 - as above
        return []
    finally:
        pynvml.nvmlShutdown()


def _cards_by_kernel(root: str = "/proc/driver/nvidia/gpus") -> list[dict[str, Any]]:
    found = []
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(root)):
            model = _field(os.path.join(root, name, "information"), "Model")
            found.append({"name": model, "memory": None, "driver": None})
    return found


def _command(argv: Iterable[str]) -> list[str]:
    # as it was typed, with the interpreter's own options, where it can be known
    return list(getattr(sys, "orig_argv", None) or [sys.executable, *argv])


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None  # it was deleted


def _user() -> str | None:
    import getpass

    try:
        return getpass.getuser()
    except Exception:  # noqa: BLE001 - KeyError, OSError or ImportError, by version: a number without a name in a container
        return None


def _cpu_model() -> str | None:
    return _field("/proc/cpuinfo", "model name") or platform.processor() or None


def _usable_cpus() -> int | None:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _field(path: str, name: str) -> str | None:
    """Return the value of the first line ``name : value`` of a file."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            key, sign, value = line.partition(":")
            if sign and key.strip() == name:
                return value.strip()
    return None


def _text(value: str | bytes) -> str:
    # older versions of the library return bytes
    return value.decode(errors="replace") if isinstance(value, bytes) else value
