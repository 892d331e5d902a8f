"""What the arguments baked into a llamafile (`.args`) would do to whoever starts it, in words.

planner never runs them: it passes arguments of its own. Somebody who starts the file by itself runs all of them.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence

from planner.gguf.cursor import shown

_REACHES = {
    ("--rpc",): "computes on other machines, unprotected",
    ("-mu", "--model-url", "-hf", "-hfr", "--hf-repo", "-hff", "--hf-file", "-dr", "--docker-repo"): (
        "fetches a model from the network when it starts"
    ),
    ("--tools", "--agent", "--mcp-servers-config", "--mcp-servers-json", "--ui-mcp-proxy"): (
        "lets the model use tools of this machine"
    ),
    ("--models-dir", "--models-preset"): "serves other models of this machine too",
    ("--media-path",): "lets requests read files of this machine",
    ("--path",): "serves a folder of this machine",
    ("--slot-save-path",): "lets requests write files to this machine",
    ("--props",): "lets requests change its settings",
    ("--unsecure",): "switches llamafile's sandbox off",
    ("--api-key",): "the key stands in the file: everybody who has it knows the key",
}
_WHY = {flag: why for flags, why in _REACHES.items() for flag in flags}
_HOST = frozenset({"--host", "-l", "--listen"})
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_OUTSIDE = re.compile(r"(^|[\\/])\.\.([\\/]|$)")


def warnings(arguments: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each argument that opens something up, reaches outside the file or switches a default off."""
    return tuple(dict.fromkeys(_sentences(arguments)))


def _sentences(arguments: Sequence[str]) -> Iterator[str]:
    words = [word for line in arguments for word in _split(line.strip())]
    skip = -1
    for index, word in enumerate(words):
        if index == skip:
            continue
        value = words[index + 1] if index + 1 < len(words) else ""
        if word in _HOST:
            skip = index + 1  # a socket's path is no other danger
            if not _is_local(value):
                yield f"{word} {shown(value)}: listens for the whole network, not for this machine alone."
        elif word in _WHY:
            yield f"{word}: {_WHY[word]}."
        elif word.startswith("--no-"):
            yield f"{shown(word)}: switches off what is on by default."
        elif _leads_outside(word):
            flag = words[index - 1] if index and words[index - 1].startswith("-") else ""
            yield f"{shown(f'{flag} {word}'.strip())}: a path on this machine, outside of the file."


def _split(line: str) -> list[str]:
    """`--flag=value` as two words; a line is one argument otherwise."""
    flag, equals, value = line.partition("=")
    return [flag, value] if equals and flag.startswith("--") else [line]


def _is_local(host: str) -> bool:
    name = host.strip().rsplit(":", 1)[0] if host.count(":") == 1 else host.strip()
    if name == "localhost" or name.endswith(".sock"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _leads_outside(word: str) -> bool:
    """Whether it is a path that does not stay inside the archive (`/zip/…` is the archive itself)."""
    if word.startswith("/zip/"):
        return _OUTSIDE.search(word) is not None
    return word.startswith(("/", "~", "\\\\")) or _DRIVE.match(word) is not None or _OUTSIDE.search(word) is not None
