"""Arguments built into a llamafile (`.args`): read before it is started, overridden by ours, or refused.

They come before ours, and of two equal flags the last counts. So what ours name again is harmless, and what ours do
not name stays in force: an API key of somebody else's, tools, other models, a folder that is served.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from planner.errors import GgufError, UsageError
from planner.gguf.arguments import warnings
from planner.gguf.llamafile import read_llamafile
from planner.gguf.source import LocalSource
from planner.serve.engine.failure import LaunchError
from planner.units import printable

_OVERRIDDEN = {
    "-m": 1, "--model": 1, "-a": 1, "--alias": 1, "--host": 1, "--port": 1, "--cors-origins": 1, "-c": 1,
    "--ctx-size": 1, "-b": 1, "--batch-size": 1, "-ub": 1, "--ubatch-size": 1, "-ngl": 1, "--gpu-layers": 1,
    "--n-gpu-layers": 1, "-np": 1, "--parallel": 1, "-fa": 1, "--flash-attn": 1, "-ctk": 1, "--cache-type-k": 1,
    "-ctv": 1, "--cache-type-v": 1, "-cram": 1, "--cache-ram": 1, "-fit": 1, "--fit": 1, "-lv": 1, "--verbosity": 1,
    "--log-verbosity": 1, "--gpu": 1, "--server": 0, "--slots": 0, "--no-slots": 0, "--webui": 0, "--no-webui": 0,
    "--offline": 0,
}  # fmt: skip
"""Flags that ours name again, and how many values they take."""
_HARMLESS = {
    "-t": 1, "--threads": 1, "-tb": 1, "--threads-batch": 1, "--temp": 1, "--top-k": 1, "--top-p": 1, "--min-p": 1,
    "-s": 1, "--seed": 1, "-n": 1, "--predict": 1, "--n-predict": 1, "--repeat-penalty": 1, "--jinja": 0,
    "--nologo": 0, "--nothink": 0, "--ascii": 0,
}  # fmt: skip
"""Flags that open nothing and lose nothing: sampling, threads, looks."""
_END_OF_ARCHIVE = b"PK\x05\x06"
_TAIL_BYTES = 64 * 2**10 + 22
"""Where an archive's end is looked for, by the engine as well."""
_REST = "..."
"""Where the arguments of whoever starts the file go."""


def built_in_arguments(path: Path) -> tuple[str, ...]:
    """The arguments in the file's `.args`, empty for one without. Raises LaunchError when they cannot be read."""
    try:
        with LocalSource(path) as source:
            start = max(0, source.size - _TAIL_BYTES)
            if _END_OF_ARCHIVE not in source.read_at(start, source.size - start):
                return ()  # no archive, so nothing in it
            found = read_llamafile(source)
    except (GgufError, UsageError) as error:
        raise LaunchError(
            f"Which arguments are built into {path} cannot be told, so it is not started: {error}",
            hint="Fetch it again, or use another engine: --engine embedded.",
            reference="engine-arguments",
            permanent=True,
        ) from error
    return () if found is None else tuple(line.strip() for line in found.arguments if line.strip())


def overridden(arguments: Sequence[str], *, binary: Path) -> tuple[str, ...]:
    """Notes on built-in arguments. Raises LaunchError for those that ours would leave in force."""
    left = list(_not_overridden(arguments))
    if left:
        told = [text for text in warnings(left) if text]
        raise LaunchError(
            f"{binary} has arguments built in that would stay in force beside planner's: "
            f"{printable(' '.join(left))[:300]}." + (f" {printable(' '.join(told))[:500]}" if told else ""),
            hint="Unpack the GGUF inside (a llamafile is a zip archive) and run that: planner catalog add FILE.gguf. "
            "Or take another engine: --engine embedded.",
            reference="engine-arguments",
            permanent=True,
        )
    return (f"{binary} has arguments built in ({printable(' '.join(arguments))[:200]}); planner's come after them.",)


def _not_overridden(arguments: Sequence[str]) -> Iterator[str]:
    words = [word for line in arguments for word in _words(line)]
    known = _OVERRIDDEN | _HARMLESS
    at = 0
    while at < len(words):
        word = words[at]
        if word == _REST:
            at += 1
        elif word in known:
            at += 1 + known[word]
        else:
            yield word
            at += 1
            # Its value, if it has one, belongs to it.
            if at < len(words) and not words[at].startswith("-") and words[at] != _REST:
                yield words[at]
                at += 1


def _words(line: str) -> list[str]:
    """`--flag=value` as two words; a line is one argument otherwise."""
    flag, equals, value = line.partition("=")
    return [flag, value] if equals and flag.startswith("--") else [line]
