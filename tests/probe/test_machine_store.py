"""What was measured is found again on the same machine, and nowhere else."""

import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from planner.core.machines.hardware import BandwidthBasis, Cpu, Host
from planner.files import replace_file
from planner.probe.machine_store import (
    StoredBandwidth,
    machine_file,
    machine_id,
    read_bandwidth,
    with_bandwidth,
    write_bandwidth,
)
from planner.probe.surroundings import Surroundings
from planner.units import GIB

Tree = Callable[[Mapping[str, str]], Surroundings]
HOST = Host("linux", Cpu("Ryzen 7", 8, 8), 32 * GIB, 20 * GIB, 51.2, BandwidthBasis.SPECIFIED)
RAW_ID = "8f3c1ab2d4e5f60718293a4b5c6d7e8f"
STORED = StoredBandwidth(machine="m", memory_bandwidth_gbps=41.5, threads=8, measured_on="2026-11-03")


def test_the_id_of_a_machine_does_not_tell_its_own_id(tree: Tree) -> None:
    machine = machine_id(tree({"/etc/machine-id": f"{RAW_ID}\n"}), HOST)
    assert RAW_ID not in machine
    assert len(machine) == 32


def test_other_limits_are_another_machine_and_a_new_kernel_is_not(tree: Tree) -> None:
    here = tree({"/etc/machine-id": RAW_ID})
    same = msgspec.structs.replace(HOST, memory_total_bytes=32 * GIB - 50_000_000, memory_available_bytes=1)
    fewer = msgspec.structs.replace(HOST, cpu=Cpu("Ryzen 7", 8, 4))
    smaller = msgspec.structs.replace(HOST, memory_total_bytes=16 * GIB)
    assert machine_id(here, same) == machine_id(here, HOST)
    assert len({machine_id(here, host) for host in (HOST, fewer, smaller)}) == 3


def test_machines_without_an_id_still_have_one(tree: Tree) -> None:
    unknown = msgspec.structs.replace(HOST, memory_total_bytes=None)
    assert machine_id(tree({}), unknown) != machine_id(tree({}), HOST)


def test_what_was_written_is_read_for_its_owner_alone(tmp_path: Path) -> None:
    path = write_bandwidth(tmp_path, STORED)
    assert read_bandwidth(tmp_path, "m") == (STORED, None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["m.json"]


def test_nothing_measured_is_no_note(tmp_path: Path) -> None:
    assert read_bandwidth(tmp_path, "m") == (None, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b"[" * 4000,
        b"{}",
        msgspec.json.encode(msgspec.structs.replace(STORED, machine="another")),
        msgspec.json.encode(msgspec.structs.replace(STORED, schema=2)),
        msgspec.json.encode(msgspec.structs.replace(STORED, memory_bandwidth_gbps=-1.0)),
        msgspec.json.encode(msgspec.structs.replace(STORED, memory_bandwidth_gbps=1e300)),
        msgspec.json.encode(msgspec.structs.replace(STORED, threads=0)),
        msgspec.json.encode(msgspec.structs.replace(STORED, measured_on="today, says $USER")),
    ],
)
def test_a_damaged_or_foreign_file_is_left_alone_with_a_note(tmp_path: Path, content: bytes) -> None:
    path = machine_file(tmp_path, "m")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    stored, note = read_bandwidth(tmp_path, "m")
    assert stored is None
    assert note is not None
    assert "--measure" in note
    assert str(tmp_path) not in note


def test_a_folder_in_the_way_is_a_note_too(tmp_path: Path) -> None:
    machine_file(tmp_path, "m").mkdir(parents=True)
    assert read_bandwidth(tmp_path, "m")[1] is not None


def test_a_measurement_takes_the_place_of_a_data_sheet() -> None:
    host = with_bandwidth(HOST, STORED)
    assert (host.memory_bandwidth_gbps, host.memory_bandwidth_basis) == (41.5, BandwidthBasis.MEASURED)
    assert host.source["memory_bandwidth_gbps"] == (
        "measured on 2026-11-03 with 8 threads (planner hardware --measure)"
    )


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").touch()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "folder", b"x", mode=0o600)
    assert {p.name for p in tmp_path.iterdir()} == {"home", "folder"}
