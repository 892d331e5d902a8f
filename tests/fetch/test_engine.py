"""Engine binaries: nothing unchecked is ever handed out."""

import hashlib
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from planner.config import Config
from planner.core.launch.engine_pins import EnginePin, EnginePins
from planner.core.values import Digest
from planner.errors import CatalogError, EngineError, IntegrityError, OfflineError, UsageError
from planner.fetch.engine import cached_engine, engine_fetchable, fetch_engine, load_pins
from planner.fetch.remote import Patience
from planner.fetch.store import Store
from tests.fetch.lying_hub import Lie, LyingHub

if TYPE_CHECKING:
    from tests.fetch.conftest import Recorder

QUICK = Patience(stall_s=0.4, tries=2, pause_base_s=0.01)
BINARY = b"MZqFpD='\n" + b"engine " * 10_000
CATALOG = Path(__file__).resolve().parents[2] / "catalog"


@pytest.fixture
def pins(hub: LyingHub) -> EnginePins:
    hub.files["llamafile-1.2.3"] = BINARY
    pin = EnginePin(
        name="llamafile",
        version="1.2.3",
        variant="full",
        default=True,
        url=f"{hub.url}/acme/engine/resolve/v1/llamafile-1.2.3",
        bytes=len(BINARY),
        sha256=Digest(hashlib.sha256(BINARY).hexdigest()),
        llama_cpp_build=None,
        below_minimum=True,
        licence="Apache-2.0",
    )
    return EnginePins(
        schema=1, as_of="2026-01-01", minimum_llama_cpp_build=1, minimum_reason="", minimum_source="", engines=(pin,)
    )


def test_a_fetched_engine_is_for_its_owner_only(config: Config, pins: EnginePins, progress: "Recorder") -> None:
    assert cached_engine(config, pins) is None
    path = fetch_engine("llamafile", config, pins, progress=progress, patience=QUICK)
    assert path.read_bytes() == BINARY
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert cached_engine(config, pins) == path


def test_the_second_fetch_is_offline(config: Config, pins: EnginePins, hub: LyingHub) -> None:
    path = fetch_engine("llamafile", config, pins, patience=QUICK)
    before = len(hub.requests)
    assert fetch_engine("llamafile", replace(config, offline=True), pins) == path
    assert len(hub.requests) == before


def test_an_engine_with_another_hash_never_gets_its_name(config: Config, pins: EnginePins, hub: LyingHub) -> None:
    hub.always = Lie(flip_bit=True)
    with pytest.raises(IntegrityError):
        fetch_engine("llamafile", config, pins, patience=QUICK)
    assert [path for path in config.engines_dir.rglob("llamafile-1.2.3") if path.is_file()] == []


@pytest.mark.parametrize("same_size", [True, False])
def test_a_changed_engine_is_not_handed_out(config: Config, pins: EnginePins, same_size: bool) -> None:
    path = fetch_engine("llamafile", config, pins, patience=QUICK)
    path.write_bytes(BINARY[:-1] + b"!" if same_size else BINARY + b"!")
    assert cached_engine(config, pins) is None
    assert fetch_engine("llamafile", config, pins, patience=QUICK).read_bytes() == BINARY


def test_a_copied_engine_is_hashed_and_accepted(config: Config, pins: EnginePins) -> None:
    path = fetch_engine("llamafile", config, pins, patience=QUICK)
    os.utime(path, (5, 5))
    assert cached_engine(config, pins) == path


def test_an_engine_does_not_live_below_an_at_sign(config: Config, pins: EnginePins, tmp_path: Path) -> None:
    bad = replace(config, data_dir=tmp_path / "me@work")
    with pytest.raises(UsageError):
        fetch_engine("llamafile", bad, pins)
    assert cached_engine(bad, pins) is None
    assert not engine_fetchable(bad, pins)


def test_whether_it_could_be_fetched_is_one_small_question(config: Config, pins: EnginePins, hub: LyingHub) -> None:
    assert engine_fetchable(config, pins)
    assert [seen.method for seen in hub.requests] == ["HEAD"]
    hub.files.clear()
    gone = engine_fetchable(config, pins)
    assert not gone
    assert "404" in gone.reason


def test_offline_or_out_of_reach_is_a_reason_not_an_error(config: Config, pins: EnginePins, hub: LyingHub) -> None:
    offline = engine_fetchable(replace(config, offline=True), pins)
    assert not offline
    assert "offline" in offline.reason
    hub.close()
    assert not engine_fetchable(config, pins)
    assert not engine_fetchable(config, pins, "no-such-engine")


def test_offline_fetch_says_so(config: Config, pins: EnginePins) -> None:
    with pytest.raises(OfflineError):
        fetch_engine("llamafile", replace(config, offline=True), pins)


def test_a_store_of_its_own_disk_is_used(config: Config, pins: EnginePins, tmp_path: Path) -> None:
    path = fetch_engine("llamafile", config, pins, patience=QUICK, store=Store(tmp_path / "other"))
    assert path.is_relative_to(tmp_path / "other")


def test_the_shipped_pins_are_complete() -> None:
    pins = load_pins(CATALOG)
    default = pins.pin("llamafile")
    assert default.bytes is not None
    for pin in pins.engines:
        assert pin.url.startswith("https://")
        assert pin.version in pin.url
        known_safe = pin.llama_cpp_build is not None and pin.llama_cpp_build >= pins.minimum_llama_cpp_build
        assert pin.below_minimum is not known_safe
    assert len([pin for pin in pins.engines if pin.name == "llamafile" and pin.default]) == 1
    with pytest.raises(EngineError):
        pins.pin("ollama")


@pytest.mark.parametrize("text", ["", "{}", "[" * 50_000, '{"schema": 2}'])
def test_broken_pins_are_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "engines.json").write_text(text)
    with pytest.raises(CatalogError):
        load_pins(tmp_path)
    with pytest.raises(CatalogError):
        load_pins(tmp_path / "nowhere")


def test_a_pin_that_is_no_hash_is_refused(tmp_path: Path) -> None:
    data = msgspec.json.decode((CATALOG / "engines.json").read_bytes())
    data["engines"][0]["sha256"] = "../../bin/sh"
    (tmp_path / "engines.json").write_bytes(msgspec.json.encode(data))
    with pytest.raises(CatalogError):
        load_pins(tmp_path)
