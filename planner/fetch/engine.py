"""Engine binaries: pinned releases, checked before they can ever be executed.

A binary lives in `engines/<name>-<version>/`, folder and file for the owner only (0700). What is handed out has
the pinned sha256: compared after the download, and again whenever the file's time stamp has changed.
"""

import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from planner.config import Config
from planner.core.launch.engine_pins import EnginePin, EnginePins
from planner.core.values import RepoPath, decode_value
from planner.errors import CatalogError, PlannerError, UsageError
from planner.fetch.disk import disk_errors
from planner.fetch.download import Downloader
from planner.fetch.lock import locked
from planner.fetch.progress import Progress, Silent
from planner.fetch.remote import Patience, Remote
from planner.fetch.store import Expected, Place, Store, make_entry
from planner.fetch.stream import call_with_deadline
from planner.net.http import make_session, open_url, require_online

FETCHABLE_DEADLINE_S = 3.0


@dataclass(frozen=True)
class Fetchable:
    """Whether an engine could be downloaded now, and why not. True or false as a condition."""

    ok: bool
    reason: str

    def __bool__(self) -> bool:
        return self.ok


def load_pins(catalog_dir: Path) -> EnginePins:
    """The pins in `engines.json` of the data folder. Raises CatalogError naming the file."""
    path = catalog_dir / "engines.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=EnginePins, dec_hook=decode_value)
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise CatalogError(f"{path} cannot be used: {error}", hint="Reinstall planner.") from error


def cached_engine(
    config: Config, pins: EnginePins, name: str = "llamafile", variant: str | None = None
) -> Path | None:
    """The pinned engine if it was fetched before and still is what was fetched. No network."""
    pin = pins.pin(name, variant)
    store = Store(config.engines_dir)
    with suppress(PlannerError):
        place = _place(store, pin)
        found = store.find_at(place, Expected(pin.bytes, pin.sha256))
        if found is not None:
            _make_private(place)
            return found.path
    return None


def engine_fetchable(
    config: Config, pins: EnginePins, name: str = "llamafile", variant: str | None = None
) -> Fetchable:
    """Whether the pinned engine could be downloaded now: one HEAD request, three seconds in all. Never raises."""
    try:
        pin = pins.pin(name, variant)
        require_online(config, f"Downloading {name}")
        _place(Store(config.engines_dir), pin)

        def head() -> int:
            with closing(make_session(config, tries=1)) as session:
                timeout = (FETCHABLE_DEADLINE_S, FETCHABLE_DEADLINE_S)
                with closing(open_url(session, pin.url, method="HEAD", timeout=timeout)) as response:
                    return response.status_code

        status = call_with_deadline(
            head, deadline_s=FETCHABLE_DEADLINE_S, what=f"The server of {name}", tick=lambda: None
        )
    except PlannerError as error:
        return Fetchable(ok=False, reason=error.message)
    if status != 200:
        return Fetchable(ok=False, reason=f"The server of {name} answered {status}.")
    return Fetchable(ok=True, reason=f"{name} {pin.version} can be downloaded.")


def fetch_engine(
    name: str,
    config: Config,
    pins: EnginePins,
    *,
    variant: str | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
    store: Store | None = None,
) -> Path:
    """The pinned engine's binary, downloaded if need be; its sha256 is that of the pin.

    Raises OfflineError, UsageError (the folder's path has an `@`, on which llamafile splits), and what
    `Downloader.receive` raises.
    """
    progress = progress or Silent()
    pin = pins.pin(name, variant)
    store = store or Store(config.engines_dir)
    place = _place(store, pin)
    expected = Expected(pin.bytes, pin.sha256)
    with disk_errors(place.final):
        place.final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(place, progress):
        found = store.find_at(place, expected)
        if found is None:
            require_online(config, f"Downloading {name} {pin.version}")
            with closing(make_session(config, tries=1)) as session:
                downloader = Downloader(session, progress=progress, disk=store.disk, patience=patience)
                received = downloader.receive(Remote(pin.url, expected), place)
            entry = make_entry(
                size_bytes=received.bytes,
                sha256=received.sha256,
                verified=received.verified,
                source="file",
                origin=pin.url,
            )
            found = store.commit(place, place.partial, entry, bytes_transferred=received.bytes_transferred)
        _make_private(place)
        return found.path


def _place(store: Store, pin: EnginePin) -> Place:
    suffix = ".exe" if sys.platform == "win32" else ""
    try:
        file = RepoPath(f"{pin.name}-{pin.version}{'' if pin.default else f'-{pin.variant}'}{suffix}")
        place = store.place_at(RepoPath(f"{pin.name}-{pin.version}"), file)
    except ValueError as error:
        raise CatalogError(f"engines.json: {error}.") from error
    if "@" in str(place.final.absolute()):
        raise UsageError(
            f"llamafile cannot live in {store.root}: it splits paths at “@”.",
            hint="Set data_dir in config.toml to a folder without an @ in its path.",
            reference="bad-engine-path",
        )
    return place


def _make_private(place: Place) -> None:
    with disk_errors(place.final):
        place.final.parent.chmod(0o700)
        place.final.chmod(0o700)
