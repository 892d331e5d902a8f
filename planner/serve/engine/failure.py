"""Why an engine did not start, told from its exit code and its last words.

llama.cpp exits 1 for a missing model, a broken GGUF, an unknown flag and a taken port alike: only the text tells
them apart. Killed by the memory controller it says nothing at all (measured, docs/engines.md).
"""

import re
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from planner.errors import EngineError
from planner.serve.engine.redact import redact
from planner.units import printable

LAST_WORDS = 40
"""Lines of log kept as an engine's last words."""

_ERROR_WORDS = re.compile(r"(?i)\berror\b|fail|abort|assert|cannot|unable|couldn't|invalid|terminate")


class LaunchError(EngineError):
    """An engine process that did not come up, or went away.

    `flag` is the argument it did not know, if that was it; `permanent`: starting it again cannot help.
    """

    reference = "engine-failed"

    def __init__(
        self, message: str, *, hint: str = "", reference: str | None = None, flag: str = "", permanent: bool = False
    ) -> None:
        super().__init__(message, hint=hint, reference=reference)
        self.flag = flag
        self.permanent = permanent

    @property
    def out_of_memory(self) -> bool:
        """Whether it ended for lack of memory: with less of it asked for, it may come up."""
        return self.reference == "out-of-memory"


def last_words(lines: Iterable[str], *, limit: int = 3, secrets: Sequence[str] = ()) -> str:
    """The engine's own explanation, safe to print: the last lines that speak of an error, else the last lines."""
    kept = [redact(printable(line).strip(), secrets) for line in lines]
    kept = [line for line in kept if line][-LAST_WORDS:]
    telling = [line for line in kept if _ERROR_WORDS.search(line)] or kept
    return " / ".join(line[:300] for line in telling[-limit:])


class _Cause(NamedTuple):
    """A way to fail. `message` may use the pattern's named groups; the engine's name stands before it."""

    pattern: re.Pattern[str]
    message: str
    hint: str
    reference: str
    permanent: bool = False


_SMALLER = "Close other programs, choose a smaller model or quant, or plan with less: --vram, --ram."
_WHOLE_LOG = "See the whole log: planner logs."
_CAUSES: tuple[_Cause, ...] = (
    _Cause(
        re.compile(
            r"(?P<what>[^\s:]+): cannot open shared object file|Library not loaded: (?P<what1>\S+)"
            r"|version `(?P<what2>[A-Z]+_[\d.]+)' not found"
        ),
        "needs the shared library {what}, which this system lacks",
        "Install it, or use another engine: --engine embedded.",
        "engine-library-missing",
        permanent=True,
    ),
    _Cause(
        re.compile(r"Exec format error|cannot execute binary file"),
        "is not a program for this system (wrong processor or operating system)",
        "Get the build for this machine, or use --engine embedded.",
        "engine-wrong-platform",
        permanent=True,
    ),
    _Cause(
        re.compile(r"error: (?:invalid|unknown) argument: (?P<what>--?[\w-]+)"),
        "does not know the argument {what}",
        "It may be too old: use llama.cpp b11393 or newer.",
        "engine-flag-unknown",
    ),
    _Cause(
        re.compile(r"couldn't bind HTTP server socket.*?port: (?P<what>\d+)"),
        "could not listen: port {what} is taken",
        "Try again: engines choose a free port.",
        "port-taken",
    ),
    _Cause(
        re.compile(
            r"(?i)failed to allocate|unable to allocate|out of memory|cudaMalloc failed|std::bad_alloc"
            r"|cannot allocate memory|ErrorOutOfDeviceMemory"
        ),
        "ran out of memory while loading",
        _SMALLER,
        "out-of-memory",
    ),
    _Cause(
        re.compile(r"(?i)failed to open .*(?:No such file|\.gguf)|No such file or directory.*\.gguf"),
        "did not find the model file",
        "Fetch it again: planner fetch MODEL.",
        "model-missing",
    ),
    _Cause(
        re.compile(
            r"(?i)invalid magic|failed to read magic|gguf_init_from|not a gguf|not within the file bounds"
            r"|unknown model architecture|failed to load model|error loading model|model loading error"
        ),
        "could not load the model file",
        "Look at it with: planner inspect FILE. A new architecture may need a newer engine.",
        "model-unloadable",
        permanent=True,
    ),
    _Cause(
        re.compile(r"xllamacpp package cannot be loaded"),
        "is not installed, or not whole",
        'Install it: pip install "planner[embedded]".',
        "engine-missing",
        permanent=True,
    ),
)


def explain_exit(
    returncode: int,
    lines: Sequence[str],
    *,
    engine: str,
    secrets: Sequence[str] = (),
    asked: str = "",
    starved: bool | None = None,
) -> LaunchError:
    """The error for an engine that exited with this code (negative: a signal) after printing these lines.

    `asked`: the argument it was asked what it is with, such as `--help`, when it was not started to serve.
    `starved`: whether the kernel killed for lack of memory meanwhile; None where that is not known, and a kill
    without another cause in sight counts as one.
    """
    error = _explained(returncode, lines, engine, secrets, starved)
    if asked and error.hint in (_WHOLE_LOG, _SMALLER):  # no log was written, and no model was loaded
        error.hint = f"That was the check of its {asked}. Run {engine} {asked} yourself, or use --engine embedded."
    return error


def _explained(
    returncode: int, lines: Sequence[str], engine: str, secrets: Sequence[str], starved: bool | None
) -> LaunchError:
    text = "\n".join(lines[-400:])
    words = last_words(lines, secrets=secrets)
    said = f". It said: {words}" if words else ". It printed nothing."
    if (killed := _by_signal(returncode, starved)) is not None:
        message, hint, reference = killed
        return LaunchError(f"{engine} {message}{said}", hint=hint, reference=reference)
    for cause in _CAUSES:
        if match := cause.pattern.search(text):
            what = next((value for value in match.groupdict().values() if value), "")
            return LaunchError(
                f"{engine} {cause.message.format(what=what)}{said}",
                hint=cause.hint,
                reference=cause.reference,
                flag=what if cause.reference == "engine-flag-unknown" else "",
                permanent=cause.permanent,
            )
    if returncode in (126, 127):
        return LaunchError(
            f"{engine} could not be executed (exit code {returncode}){said}",
            hint="Check the path and its permissions: chmod +x FILE.",
            reference="engine-not-executable",
            permanent=True,
        )
    expected = ", and was expected to keep running" if returncode == 0 else ""
    return LaunchError(f"{engine} ended with exit code {returncode}{expected}{said}", hint=_WHOLE_LOG)


def _by_signal(returncode: int, starved: bool | None) -> tuple[str, str, str] | None:
    """What a death by signal means; a shell in between reports 128 + signal."""
    number = -returncode if returncode < 0 else returncode - 128
    if number == 9:  # SIGKILL, which Windows has no name for
        if starved is False:
            return (
                "was killed by somebody else (signal 9), and not by the system for lack of memory",
                "Some programs that guard a machine's memory or processor end others so: look into their logs.",
                "engine-killed",
            )
        likely = "because" if starved else "most likely because"
        return f"was killed, {likely} the machine ran out of memory (signal 9)", _SMALLER, "out-of-memory"
    if number == signal.SIGILL.value:
        return (
            "needs CPU instructions this machine lacks (signal 4): it was built for another processor",
            "Use a build for this processor, or --engine embedded.",
            "engine-wrong-cpu",
        )
    try:
        name = signal.Signals(number).name
    except ValueError:
        return None
    return f"was ended by signal {number} ({name})", _WHOLE_LOG, "engine-crashed"


def explain_os_error(error: OSError, binary: str) -> LaunchError:
    """The error for a program that could not be started at all."""
    path = Path(binary)
    match error:
        case _ if path.is_dir():
            inside = path / "llama-server"
            text, hint, reference = (
                f"{binary} is a folder, not a program.",
                f"Give the program in it: {inside}." if inside.is_file() else "Give the program itself.",
                "engine-not-executable",
            )
        case FileNotFoundError() if path.is_file():
            text, hint, reference = (
                f"{binary} names an interpreter or loader that this system lacks: it was made for another one.",
                "Get the build for this machine, or use --engine embedded.",
                "engine-wrong-platform",
            )
        case FileNotFoundError() | NotADirectoryError():
            text, hint, reference = (
                f"There is no program {binary}.",
                "Check the path, or use another engine: --engine embedded.",
                "engine-missing",
            )
        case PermissionError():
            text, hint, reference = (
                f"{binary} may not be executed: it, or a folder above it, lacks the permission.",
                f"chmod +x {binary}",
                "engine-not-executable",
            )
        case OSError(errno=8):
            text, hint, reference = (
                f"{binary} is not a program for this system (wrong processor or operating system).",
                "Get the build for this machine, or use --engine embedded.",
                "engine-wrong-platform",
            )
        case _:
            text, hint, reference = (
                f"{binary} could not be started: {error.strerror or error}.",
                "Use another engine: --engine embedded.",
                "engine-failed",
            )
    return LaunchError(text, hint=hint, reference=reference, permanent=True)
