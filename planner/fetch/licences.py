"""Licences that were accepted on this machine: `licences.json` in the state folder, one line per model and licence.

Only models that may not be used commercially are asked about. A changed licence is another one, and is asked about
again.
"""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from planner.core.models.model import Commercial, Model
from planner.errors import UsageError
from planner.files import replace_file


class Accepted(msgspec.Struct, frozen=True):
    """One consent."""

    model: str
    licence: str
    at: str


class _AcceptedFile(msgspec.Struct):
    schema: int
    accepted: tuple[Accepted, ...]


def licences_path(state_dir: Path) -> Path:
    """Where consents are kept."""
    return state_dir / "licences.json"


def needs_consent(state_dir: Path, model: Model) -> bool:
    """Whether the licence must be accepted before the model is fetched."""
    if model.licence.commercial is not Commercial.NO:
        return False
    return not any(_is_for(consent, model) for consent in _read(state_dir))


def terms_of(model: Model, hf_endpoint: str) -> str:
    """What is asked about: the licence, what it does not allow, and where it can be read."""
    return (
        f"{model.id} is published under {model.licence.spdx}, which does not allow commercial use. "
        f"The terms: {hf_endpoint}/{model.id}"
    )


def accept(state_dir: Path, model: Model) -> None:
    """Remember that the model's licence was accepted. Raises UsageError when the folder cannot be written."""
    path = licences_path(state_dir)
    before = tuple(consent for consent in _read(state_dir) if not _is_for(consent, model))
    fresh = Accepted(model.id, model.licence.spdx, datetime.now(UTC).isoformat(timespec="seconds"))
    body = msgspec.json.format(msgspec.json.encode(_AcceptedFile(1, (*before, fresh))), indent=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, body)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}. The consent would be forgotten.",
            hint="Check the permissions, or set state_dir in config.toml.",
            reference="state-not-writable",
        ) from error


def _is_for(consent: Accepted, model: Model) -> bool:
    return (consent.model.casefold(), consent.licence) == (model.id.casefold(), model.licence.spdx)


def _read(state_dir: Path) -> tuple[Accepted, ...]:
    try:
        raw = licences_path(state_dir).read_bytes()
        return msgspec.json.decode(raw, type=_AcceptedFile).accepted
    except (OSError, msgspec.MsgspecError, RecursionError):
        return ()
