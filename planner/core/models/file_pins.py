"""Which file a variant is on this machine, once that has been found out: the catalog's gaps, filled for good.

A catalog may name a repository without a file, or a file without size, hash or commit. The first fetch finds out;
from then on plans and fetches mean exactly that file, whatever the repository holds later.
"""

from collections.abc import Iterable, Sequence

import msgspec

from planner.core.models.model import Artifact, Model, Name, Variant


class FilePin(msgspec.Struct, frozen=True, kw_only=True):
    """The file that stands for `quant` of `model` (ids compared without case).

    `location` is where a file that the user brought is: an absolute path or an https address.
    """

    model: Name
    quant: Name
    artifact: Artifact
    location: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What it is found by."""
        return self.model.casefold(), self.quant.casefold()


Pins = dict[tuple[str, str], FilePin]


def index(pins: Iterable[FilePin]) -> Pins:
    """The pins by what they are for; the last of equal ones."""
    return {pin.key: pin for pin in pins}


def pinned_models(models: Sequence[Model], pins: Pins) -> tuple[Model, ...]:
    """The models with what is known about their files by now."""
    if not pins:
        return tuple(models)
    names = {name for name, _ in pins}
    return tuple(_pinned_model(model, pins) if model.id.casefold() in names else model for model in models)


def _pinned_model(model: Model, pins: Pins) -> Model:
    variants = tuple(pinned_variant(model, variant, pins) for variant in model.variants)
    return msgspec.structs.replace(model, variants=variants)


def pinned_variant(model: Model, variant: Variant, pins: Pins) -> Variant:
    """The variant with its file named and described, as far as a pin agrees with what the catalog says."""
    pin = pins.get((model.id.casefold(), variant.quant.casefold()))
    if pin is None:
        return variant
    if not variant.artifacts:
        if pin.artifact.repo not in model.gguf_repos:
            return variant
        return _sized(msgspec.structs.replace(variant, artifacts=(pin.artifact,)), pin.artifact)
    artifacts = tuple(_filled(artifact, pin.artifact) for artifact in variant.artifacts)
    if artifacts == variant.artifacts:
        return variant
    return _sized(msgspec.structs.replace(variant, artifacts=artifacts), pin.artifact)


_FACTS = ("revision", "bytes", "sha256", "shards", "shard_sha256")


def _filled(artifact: Artifact, known: Artifact) -> Artifact:
    """The artifact with its gaps filled, unless it is another file or says something else about it."""
    if any(getattr(artifact, name) != getattr(known, name) for name in ("source", "repo", "file")):
        return artifact
    gaps: dict[str, object] = {}
    for name in _FACTS:
        said = getattr(artifact, name)
        if said in (None, ()):
            gaps[name] = getattr(known, name)
        elif said != getattr(known, name):
            return artifact
    return msgspec.structs.replace(artifact, **gaps)


def _sized(variant: Variant, known: Artifact) -> Variant:
    """With the file's real size, where the catalog's was not one."""
    is_real = variant.file_bytes is not None and variant.file_bytes_source == "exact"
    if known.bytes is None or known.convert or is_real:
        return variant
    return msgspec.structs.replace(variant, file_bytes=known.bytes, file_bytes_source="exact")


def needs_pin(artifact: Artifact) -> bool:
    """Whether a file on the Hub is not yet described so that it can be told from every other one."""
    hashed = artifact.sha256 is not None or bool(artifact.shard_sha256)
    return artifact.source == "hub" and (artifact.revision is None or artifact.bytes is None or not hashed)
