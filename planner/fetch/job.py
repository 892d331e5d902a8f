"""What every source of files needs, and the parts a file may have."""

import re
from dataclasses import dataclass

from planner.config import Config
from planner.core.models.file_pins import FilePin, Pins
from planner.core.models.model import Artifact, Model, Variant
from planner.core.values import RepoPath
from planner.errors import BadDataError
from planner.fetch.pins import write_pin
from planner.fetch.progress import Progress
from planner.fetch.remote import Pace, Patience
from planner.fetch.store import Store

_SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.gguf")


@dataclass(frozen=True)
class Job:
    """One variant to be fetched, where to and how. `pins`: what is known about files of this machine."""

    model: Model
    variant: Variant
    store: Store
    config: Config
    progress: Progress
    patience: Patience
    pace: Pace
    pins: Pins

    def pin(self, artifact: Artifact) -> None:
        """Remember that the variant is this file from now on."""
        pin = FilePin(model=self.model.id, quant=self.variant.quant, artifact=artifact)
        write_pin(self.store.root, pin, self.store.disk)


def shard_names(artifact: Artifact) -> tuple[RepoPath, ...]:
    """All parts of a split GGUF in order; empty for a single file. Raises BadDataError.

    The names follow from the first one's `-00001-of-0000N`; a list in the catalog must agree.
    """
    found = _SHARD.fullmatch(artifact.file)
    if found is None or int(found["count"]) < 2:
        if len(artifact.shards) > 1:
            raise BadDataError(
                f"{artifact.file} lists several parts but is not named like a split GGUF.", reference="bad-shards"
            )
        return ()
    count = int(found["count"])
    names = tuple(RepoPath(f"{found['stem']}-{index:05d}-of-{count:05d}.gguf") for index in range(1, count + 1))
    if count > 512 or int(found["index"]) != 1 or (artifact.shards and tuple(artifact.shards) != names):
        raise BadDataError(
            f"The parts of {artifact.file} do not follow from its name.",
            hint="A split GGUF is named by its first part, …-00001-of-0000N.gguf, and has all N parts.",
            reference="bad-shards",
        )
    return names
