"""From what `planner catalog add` is given to what is read there: one header, and all quantisations beside it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from planner.cli.session import Session
from planner.core.models.file_pins import FilePin
from planner.core.models.model import Artifact, Variant
from planner.core.models.repo_files import Listing, QuantFile, plainest, read_listing
from planner.core.values import RepoId, RepoPath
from planner.errors import AccessError, GgufError, UsageError
from planner.units import printable

if TYPE_CHECKING:
    from planner.catalog.entry import Read
    from planner.fetch.hub import Snapshot
    from planner.gguf.facts import GgufFacts
    from planner.gguf.header import Header

_PREFERRED = ("Q4_K_M", "Q8_0", "F16", "BF16")
"""Types whose header is read first: every file of a repository says the same of the network."""


@dataclass(frozen=True)
class HubTarget:
    """`hf:OWNER/NAME[@REVISION][/FILE]`."""

    repo: RepoId
    revision: str | None
    file: RepoPath | None


@dataclass(frozen=True)
class Gathered:
    """What was found. `pins` say where files of the user are; their model is filled in when it has an id."""

    read: "Read"
    variants: tuple[Variant, ...]
    gguf_repos: tuple[RepoId, ...] = ()
    pins: tuple[FilePin, ...] = ()
    notes: tuple[str, ...] = ()


def parse_target(target: str, hf_endpoint: str) -> HubTarget | str | Path:
    """A repository or file on the Hub, an address elsewhere, or a path. Raises UsageError for a bad one."""
    text = target.strip()
    if text.startswith("hf:"):
        return _hub_target(target, text.removeprefix("hf:").strip("/"))
    if "://" not in text:
        return Path(text).expanduser()
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        raise UsageError(
            f"“{printable(target)}” is not an address that can be read.",
            hint="Give hf:OWNER/NAME, a file, or an https:// address.",
        )
    if host in {"huggingface.co", "hf.co"} or parts.netloc == urlsplit(hf_endpoint).netloc:
        # A page or a download link of the Hub: the repository says more than the address alone.
        path = unquote(parts.path).strip("/")
        found = re.fullmatch(r"([^/]+/[^/]+)(?:/(?:resolve|blob|tree)/([^/]+)(?:/(.+))?)?", path)
        if found is not None:
            repo, revision, file = found.groups()
            return _hub_target(target, "/".join(filter(None, (f"{repo}@{revision}" if revision else repo, file))))
    return text


def _hub_target(target: str, text: str) -> HubTarget:
    owner, _, rest = text.partition("/")
    name, _, file = rest.partition("/")
    name, _, revision = name.partition("@")
    try:
        if revision in (".", ".."):
            raise ValueError("no such revision")  # noqa: TRY301
        return HubTarget(RepoId(f"{owner}/{name}"), revision or None, RepoPath(file) if file else None)
    except ValueError as error:
        raise UsageError(
            f"“{printable(target)}” is not a repository or a file on the Hub: {error}.",
            hint="Write hf:OWNER/NAME for all of a repository, hf:OWNER/NAME/FILE.gguf for one file of it.",
        ) from error


def default_id(target: HubTarget | str | Path) -> str:
    """What a model is called when nobody says: like its repository without -GGUF, else local/ and the file's name."""
    if isinstance(target, HubTarget):
        return re.sub(r"([-_.](i1|imat))?[-_.]gguf$", "", target.repo, flags=re.IGNORECASE)
    name = target.name if isinstance(target, Path) else unquote(urlsplit(target).path).rpartition("/")[2]
    listing = read_listing([_safe(name)])
    stem = re.sub(r"(-\d{5}-of-\d{5})?\.gguf$", "", name, flags=re.IGNORECASE)
    for quant in listing.quants:
        stem = re.sub(rf"[-_.]?{re.escape(quant)}$", "", stem, flags=re.IGNORECASE)
    return f"local/{re.sub(r'[^A-Za-z0-9._-]+', '-', stem).strip('-._') or 'model'}"


def gather(session: Session, target: HubTarget | str | Path) -> Gathered:
    """Read it. Raises what reading a header, listing a repository and having no network raise."""
    if isinstance(target, HubTarget):
        return _from_hub(session, target)
    return _from_file(target) if isinstance(target, Path) else _from_address(session, target)


# The Hub


def _from_hub(session: Session, target: HubTarget) -> Gathered:
    from planner.catalog.entry import Read
    from planner.catalog.licences import tagged_licence
    from planner.fetch.hub import list_files
    from planner.fetch.progress import Silent
    from planner.fetch.resolve import artifact_of, listed
    from planner.gguf.facts import facts

    snapshot = list_files(target.repo, target.revision, config=session.config, progress=Silent())
    listing = listed(snapshot)
    notes: list[str] = []
    chosen = _named(snapshot, listing, target.file) if target.file else _all(target.repo, listing, notes)
    first = next((chosen[quant] for quant in _PREFERRED if quant in chosen), None)
    if first is None:
        first = min(chosen.values(), key=lambda file: (len(file.files), _bytes(snapshot, file), file.files[0]))
    header = _remote_header(session, snapshot, first)
    known = facts(header)
    variants = [
        _variant(
            file.quant or known.quant or "unknown", artifact_of(snapshot, file), known if file == first else None
        )
        for file in chosen.values()
    ]
    variants.sort(key=lambda variant: (variant.file_bytes is None, variant.file_bytes or 0, variant.quant))
    origin = f"{target.repo}/{first.files[0]} at {snapshot.commit[:12]}"
    return Gathered(
        read=Read(known, header.metadata, origin, tagged_licence(snapshot.tags)),
        variants=tuple(variants),
        gguf_repos=() if target.file else (target.repo,),
        notes=tuple(notes),
    )


def _named(snapshot: "Snapshot", listing: Listing, file: RepoPath) -> dict[str, QuantFile]:
    """The one file that was asked for, with all its parts."""
    if file not in snapshot.files:
        near = [name for name in snapshot.files if name.lower().endswith(".gguf")]
        raise AccessError(
            f"{snapshot.repo} has no file {file}.",
            hint=f"It holds: {', '.join(near[:6])}." if near else "It holds no GGUF file at all.",
            reference="not-found",
        )
    for candidates in listing.quants.values():
        for candidate in candidates:
            if file in candidate.files:
                return {candidate.quant: candidate}
    return {"": QuantFile("", (file,), frozenset())}


def _all(repo: RepoId, listing: Listing, notes: list[str]) -> dict[str, QuantFile]:
    """One file of every quant type; what is left out is said."""
    chosen: dict[str, QuantFile] = {}
    for quant, candidates in listing.quants.items():
        file = plainest(candidates)
        if file is None:
            names = ", ".join(candidate.files[0] for candidate in candidates)
            notes.append(f"Left out: {quant}, because there are several files of it ({names}).")
        else:
            chosen[quant] = file
    notes += [f"Left out: {printable(name)}, {why}." for name, why in listing.left_out.items()]
    if not chosen and len(listing.unnamed) == 1:
        return {"": QuantFile("", (listing.unnamed[0],), frozenset())}
    notes += [f"Left out: {name}, whose name tells no quant type." for name in listing.unnamed]
    if not chosen:
        raise AccessError(
            f"{repo} holds no GGUF of a model that its name tells the quant type of.",
            hint=" ".join([f"Name one file: planner catalog add hf:{repo}/FILE.gguf.", *notes])
            if notes
            else "Look for a repository with GGUF files; its name usually ends in -GGUF.",
            reference="no-gguf",
        )
    return chosen


def _bytes(snapshot: "Snapshot", file: QuantFile) -> int:
    return sum(snapshot.files[name].bytes or 0 for name in file.files)


def _remote_header(session: Session, snapshot: "Snapshot", file: QuantFile) -> "Header":
    """The header of a file, or of all its parts together: some megabytes, never the weights."""
    from planner.gguf.reader import read_header
    from planner.gguf.shards import merge
    from planner.net.http import make_session
    from planner.net.ranges import HttpRangeSource

    secret = {"Authorization": f"Bearer {snapshot.token}"} if snapshot.token else None
    headers = []
    try:
        with make_session(session.config) as http:
            for name in file.files:
                with HttpRangeSource(http, snapshot.url(name), secret_headers=secret) as source:
                    headers.append(read_header(source))
        return headers[0] if len(headers) == 1 else merge(tuple(headers))
    except GgufError as error:
        error.hint = (
            f"The publisher's file is broken. Try another one: planner catalog add hf:{snapshot.repo}/FILE.gguf"
        )
        raise


def _variant(quant: str, artifact: Artifact, known: "GgufFacts | None") -> Variant:
    return Variant(
        quant=quant,
        artifacts=(artifact,),
        file_bytes=artifact.bytes,
        tensor_bytes=known.tensor_bytes if known else None,
        token_embedding_bytes=(known.token_embedding_bytes or None) if known else None,
    )


# Files of the user


def _from_file(path: Path) -> Gathered:
    from planner.gguf.files import read_path
    from planner.gguf.shards import shard_paths

    contents = read_path(path)
    if contents.llamafile is not None or contents.header is None:
        raise UsageError(
            f"{path} is a llamafile: an engine with its own idea of how to run the model.",
            hint="Unpack the GGUF inside (a llamafile is a zip archive), and add that.",
            reference="is-a-llamafile",
        )
    parts = shard_paths(path) if contents.header.parts > 1 else ()
    names = tuple(_safe(part.name) for part in parts)
    if any(safe != part.name for safe, part in zip(names, parts, strict=True)):
        raise UsageError(
            f"{path.name} is a split model with characters in its name that not every system takes.",
            hint="Rename all its parts.",
            reference="unsafe-name",
        )
    first = parts[0] if parts else path
    artifact = Artifact(source="file", file=_safe(first.name), bytes=contents.size_bytes, shards=names)
    return _brought(contents.header, artifact, origin=path.name, location=str(first.resolve()))


def _from_address(session: Session, url: str) -> Gathered:
    from planner.gguf.reader import read_header
    from planner.net.http import check_url, make_session, require_online
    from planner.net.ranges import HttpRangeSource

    require_online(session.config, f"Reading {printable(url)}")
    check_url(url)
    with make_session(session.config) as http, HttpRangeSource(http, url) as source:
        header, size = read_header(source), source.size
    parts = urlsplit(url)
    name = unquote(parts.path).rpartition("/")[2] or "model.gguf"
    artifact = Artifact(source="file", file=_safe(name), bytes=size, provenance=f"{parts.scheme}://{parts.netloc}")
    return _brought(
        header, artifact, origin=printable(f"{parts.hostname}{parts.path}"), location=quote(url, safe=_URL)
    )


_URL = "%/:=&?~#+!$,;'@()*[]"


def _brought(header: "Header", artifact: Artifact, *, origin: str, location: str) -> Gathered:
    from planner.catalog.entry import Read
    from planner.gguf.facts import facts

    known = facts(header)
    quant = next(iter(read_listing([artifact.file]).quants), None) or known.quant or "unknown"
    pin = FilePin(model="-", quant=quant, artifact=artifact, location=location)
    return Gathered(
        read=Read(known, header.metadata, origin), variants=(_variant(quant, artifact, known),), pins=(pin,)
    )


def _safe(name: str) -> RepoPath:
    """A user's file may be called anything; what stands in the catalog must be a name everywhere."""
    try:
        return RepoPath(name)
    except ValueError:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", re.sub(r"\.gguf$", "", name, flags=re.IGNORECASE))[-80:]
        return RepoPath(f"{plain.strip('._') or 'model'}.gguf")
