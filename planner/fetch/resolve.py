"""From a repository to a file: the catalog says where a model's GGUFs are, the repository's listing says which."""

from collections.abc import Iterator, Sequence

from planner.config import Config
from planner.core.models.model import Artifact, Model, Variant
from planner.core.models.repo_files import Listing, QuantFile, plainest, read_listing
from planner.core.values import RepoId
from planner.errors import AccessError, OfflineError, RemoteError
from planner.fetch import hub
from planner.fetch.progress import Progress

_SHOWN = 12


def listed(snapshot: hub.Snapshot) -> Listing:
    """The GGUFs of a repository by quant type."""
    return read_listing(snapshot.files, snapshot.repo)


def artifact_of(snapshot: hub.Snapshot, file: QuantFile) -> Artifact:
    """A file of a repository, pinned to the commit and to all that the listing says of its bytes."""
    facts = [snapshot.files[name] for name in file.files]
    sizes = [fact.bytes for fact in facts if fact.bytes is not None]
    hashes = tuple(fact.sha256 for fact in facts if fact.sha256 is not None)
    is_split = len(file.files) > 1
    return Artifact(
        source="hub",
        repo=snapshot.repo,
        file=file.files[0],
        revision=snapshot.commit,
        bytes=sum(sizes) if len(sizes) == len(facts) else None,
        sha256=None if is_split else facts[0].sha256,
        shards=file.files if is_split else (),
        shard_sha256=hashes if is_split and len(hashes) == len(facts) else (),
        provenance=f"listing of {snapshot.repo} at {snapshot.commit[:12]}",
    )


def found_in_repos(model: Model, variant: Variant, *, config: Config, progress: Progress) -> Iterator[Artifact]:
    """The variant's file in each of the model's repositories that has it, in their order; the next when asked for.

    Raises OfflineError, the network's error when no repository could be asked, and AccessError `quant-not-found`
    saying what there is when none has the quant type or it is not clear which file is meant.
    """
    said: list[str] = []
    found = False
    unclear: tuple[RepoId, QuantFile] | None = None
    failures: list[RemoteError] = []
    for repo in model.gguf_repos:
        try:
            snapshot = hub.list_files(repo, config=config, progress=progress)
        except OfflineError:
            raise
        except RemoteError as error:
            failures.append(error)
            said.append(f"{repo} could not be asked: {error.message.rstrip('.')}.")
            continue
        listing = listed(snapshot)
        candidates = listing.find(variant.quant)
        chosen = plainest(candidates)
        if chosen is not None:
            found = True
            yield artifact_of(snapshot, chosen)
            continue
        if candidates:
            unclear = unclear or (repo, candidates[0])
        said.append(_told(repo, listing, candidates))
    if found:
        return
    if failures and len(failures) == len(model.gguf_repos) and not isinstance(failures[-1], AccessError):
        raise failures[-1]
    raise _not_found(model, variant, said, unclear)


def _told(repo: RepoId, listing: Listing, candidates: Sequence[QuantFile]) -> str:
    if candidates:
        names = " and ".join(file.files[0] for file in candidates[:4])
        return f"{repo} has several files of that type, {names}."
    if not listing.quants:
        return f"{repo} holds no GGUF that names its quant type."
    quants = list(listing.quants)
    more = f" and {len(quants) - _SHOWN} more" if len(quants) > _SHOWN else ""
    return f"{repo} holds {', '.join(quants[:_SHOWN])}{more}."


def _not_found(
    model: Model, variant: Variant, said: list[str], unclear: tuple[RepoId, QuantFile] | None
) -> AccessError:
    hint = f"`planner catalog update {model.id}` takes over what there is; then choose another quant."
    if unclear is not None:
        repo, file = unclear
        hint = f"Say which one: planner catalog add hf:{repo}/{file.files[0]} --id {model.id} --force"
    return AccessError(
        " ".join([f"No repository has {model.id} as {variant.quant}, as far as file names tell.", *said]),
        hint=hint,
        reference="quant-not-found",
    )
