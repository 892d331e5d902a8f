"""Which file of a repository is which quantisation: read off the names, as publishers write them.

There is no rule for these names, only habits: the quant type stands at the end of the file's name or is its folder's
(`Model-Q4_K_M.gguf`, `model.q4_k_m.gguf`, `Q4_K_M/Model-Q4_K_M-00001-of-00002.gguf`), projectors, importance matrices
and draft models lie beside it. A name that could be read in two ways is left alone rather than guessed.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from planner.core.values import RepoPath

_TOKEN = re.compile(
    r"(?<![a-z0-9])(?P<vendor>ud[-_])?"
    # Possessive: the rest of a longer name (Q4_K_M_L, Q4_0_4_4) must not be cut off to make a shorter type of it.
    r"(?P<type>[it]?q[1-8](?:_(?:k|[0148]|nl|xxs|xs|s|m|l|xxl|xl)(?![a-z0-9]))*+|(?:bf16|fp?(?:16|32))|mxfp4(?:_moe)?+|nvfp4)"
    r"(?![a-z0-9])(?!_(?:k|[0148]|nl|xxs|xs|s|m|l|xxl|xl)[a-z0-9])"
)
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_SPELLINGS = {"FP16": "F16", "FP32": "F32"}
_SILENT = frozenset({"", "gguf", "i1", "model", "ggml"})
"""Words of a file name that do not tell one file from another; i1 stands for an importance matrix was used."""
_OTHER_THINGS = {
    "mmproj": "a projector for pictures or sound",
    "imatrix": "an importance matrix",
    "draft": "a draft model",
    "mtp": "a draft model",
    "lora": "an adapter",
}
MAX_SHARDS = 512


class QuantFile(NamedTuple):
    """One quantisation as it lies in a repository: all parts in order. `extra`: words beside its type."""

    quant: str
    files: tuple[RepoPath, ...]
    extra: frozenset[str]


class Listing(NamedTuple):
    """The GGUFs of a repository. `unnamed` are files whose name tells no type, `left_out` has the reason by name."""

    quants: dict[str, tuple[QuantFile, ...]]
    unnamed: tuple[RepoPath, ...]
    left_out: dict[str, str]

    def find(self, quant: str) -> tuple[QuantFile, ...]:
        """All files of a quant type, compared without case; F16 and FP16 are the same."""
        return self.quants.get(spelled(quant), ())


def spelled(quant: str) -> str:
    """A quant type in capitals, the way llama.cpp spells it."""
    name = quant.upper()
    return _SPELLINGS.get(name, name)


def read_listing(names: Iterable[str], repo: str = "") -> Listing:
    """Sort the files of a repository by quant type. A word in the name of `repo` itself tells nothing apart."""
    quants: dict[str, list[QuantFile]] = {}
    unnamed: list[RepoPath] = []
    left_out: dict[str, str] = {}
    for files in _whole(names, left_out):
        name = files[0]
        token = _token(name)
        words = _words(name)
        known = words - _words(repo)
        # Some name a quantisation after the matrix it was made with: with a type it is a model.
        other = next((what for word, what in _OTHER_THINGS.items() if word in known), None)
        if other is not None and not (token and "imatrix" in known and len(known & _OTHER_THINGS.keys()) == 1):
            left_out[name] = other
        elif token is None:
            unnamed.append(name)
        else:
            quant, own = token
            quants.setdefault(quant, []).append(QuantFile(quant, files, words - own - _SILENT))
    return Listing({quant: tuple(found) for quant, found in sorted(quants.items())}, tuple(unnamed), left_out)


def plainest(found: Sequence[QuantFile]) -> QuantFile | None:
    """The one that has nothing but what all of them have; None where two differ in kind.

    Of equal names one whole file comes before a split one, and the top of the repository before a folder.
    """
    plain = [file for file in found if all(file.extra <= other.extra for other in found)]
    plain.sort(key=lambda file: (len(file.files), file.files[0].count("/"), len(file.files[0])))
    return plain[0] if plain else None


def _whole(names: Iterable[str], left_out: dict[str, str]) -> list[tuple[RepoPath, ...]]:
    """Single files and complete sets of parts, by name; names that are not safe are left out."""
    single: list[tuple[RepoPath, ...]] = []
    split: dict[tuple[str, str], list[RepoPath]] = {}
    for text in sorted(set(names)):
        if not text.lower().endswith(".gguf"):
            continue
        try:
            name = RepoPath(text)
        except ValueError:
            left_out[text] = "no safe name"
            continue
        shard = _SHARD.fullmatch(name)
        if shard is None or int(shard["count"]) < 2:
            single.append((name,))
        else:
            split.setdefault((shard["stem"], shard["count"]), []).append(name)
    for (stem, count), parts in split.items():
        wanted = [f"{stem}-{number:05d}-of-{count}.gguf" for number in range(1, min(int(count), MAX_SHARDS) + 1)]
        if [part[:-5] for part in parts] == [part[:-5] for part in wanted] and int(count) <= MAX_SHARDS:
            single.append(tuple(parts))
        else:
            left_out |= {part: f"{len(parts)} of {int(count)} parts are there" for part in parts}
    return sorted(single)


def _token(name: RepoPath) -> tuple[str, frozenset[str]] | None:
    """The quant type a path names and the words it is made of: the file's last one, else its folder's."""
    for part in reversed(_without_end(name).split("/")):
        found = list(_TOKEN.finditer(part.lower()))
        if found:
            match = found[-1]
            vendor = "UD-" if match["vendor"] else ""
            return vendor + spelled(match["type"]), _words(match[0])
    return None


def _words(text: str) -> frozenset[str]:
    return frozenset(re.split(r"[^a-z0-9]+", _without_end(text).lower()))


def _without_end(text: str) -> str:
    shard = _SHARD.fullmatch(text)
    return shard["stem"] if shard else re.sub(r"\.gguf$", "", text, flags=re.IGNORECASE)
