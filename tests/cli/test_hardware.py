"""`planner hardware`: the contract for scripts, and a page that says where each value comes from."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from planner.cli.app import run
from planner.cli.hardware_page import WIDTH
from planner.cli.hardware_page import page as lines_of
from planner.core.machines.hardware import (
    Backend,
    BandwidthBasis,
    Cpu,
    Device,
    DeviceKind,
    Hardware,
    Host,
    MemoryHolder,
    PcieLink,
    Vendor,
)

GIB = 2**30


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert run(["hardware", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def page(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["hardware", *arguments]) == 0
    return capsys.readouterr().out


def test_this_machine_has_the_contracts_fields(capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys)
    assert document["schema"] == 1
    host = document["host"]
    assert {"os", "cpu", "memory_total_bytes", "memory_available_bytes", "memory_bandwidth_gbps"} <= set(host)
    assert {"name", "cores_physical", "cores_usable", "isa"} <= set(host["cpu"])
    assert host["memory_total_bytes"] > host["memory_available_bytes"] > 0
    assert isinstance(document["notes"], list)


def test_a_described_card_has_the_contracts_fields(capsys: pytest.CaptureFixture[str]) -> None:
    (device,) = answer(capsys, "--gpu", "RTX 3060 12GB")["devices"]
    fields = {
        "id", "name", "slug", "vendor", "backend", "kind", "memory_total_bytes", "memory_free_bytes",
        "memory_budget_bytes", "memory_bandwidth_gbps", "fp32_tflops", "fp16_tflops", "compute_capability",
        "gpu_cores", "source",
    }  # fmt: skip
    assert fields <= set(device)
    assert (device["vendor"], device["backend"], device["kind"]) == ("nvidia", "cuda", "discrete")
    assert (device["memory_total_bytes"], device["memory_bandwidth_gbps"]) == (12 * GIB, 360.0)


def test_overrides_combine_and_nothing_of_this_machine_leaks_in(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--gpu", "2x RTX 3090", "--ram", "64", "--cpu-cores", "12")
    first, second = answer(capsys, *arguments), answer(capsys, *arguments)
    assert first == second
    assert [d["name"] for d in first["devices"]] == ["GeForce RTX 3090"] * 2
    assert first["host"]["cpu"] == {"name": "unspecified", "cores_physical": 12, "cores_usable": 12, "isa": []}
    assert first["host"]["memory_total_bytes"] == 64 * GIB


def test_apple_memory_goes_as_ram(capsys: pytest.CaptureFixture[str]) -> None:
    (device,) = answer(capsys, "--gpu", "Apple M2 Ultra (76c GPU)", "--ram", "192")["devices"]
    assert device["memory_budget_bytes"] == 144 * GIB


@pytest.mark.parametrize(
    ("arguments", "reference"),
    [
        (("--gpu", "RTX 9090"), "unknown-gpu"),
        (("--gpu", "A100"), "ambiguous-gpu"),
        (("--gpu", "RTX 3090", "--vram", "8,8"), "usage"),
        (("--vram", "lots"), "usage"),
    ],
)
def test_wrong_words_exit_2_with_json(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reference: str
) -> None:
    error = answer(capsys, *arguments, code=2)["error"]
    assert error["reference"] == reference
    assert error["message"]
    assert error["hint"]


def test_a_saved_machine_is_the_machine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = answer(capsys, "--gpu", "RTX 4090", "--ram", "128")
    file = tmp_path / "machine.json"
    file.write_text(json.dumps(saved))
    assert answer(capsys, "--hardware", str(file)) == saved
    changed = answer(capsys, "--hardware", str(file), "--ram", "32")
    assert changed["host"]["memory_total_bytes"] == 32 * GIB
    assert changed["devices"] == saved["devices"]


def test_a_broken_saved_machine_exits_4_with_the_field(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = answer(capsys, "--vram", "8")
    saved["devices"][0]["memory_total_bytes"] = -1
    file = tmp_path / "machine.json"
    file.write_text(json.dumps(saved))
    error = answer(capsys, "--hardware", str(file), code=4)["error"]
    assert error["reference"] == "hardware-invalid"
    assert "$.devices[0].memory_total_bytes" in error["message"]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a file without end")
def test_a_file_without_end_is_no_machine(capsys: pytest.CaptureFixture[str]) -> None:
    error = answer(capsys, "--hardware", "/dev/zero", code=4)["error"]
    assert error["reference"] == "hardware-invalid"
    assert "/dev/zero" in error["message"]


def test_a_name_of_two_lines_keeps_the_table_whole(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = answer(capsys, "--vram", "8")
    saved["devices"][0]["name"] = "Two\nLines\x1b[31m"
    file = tmp_path / "machine.json"
    file.write_text(json.dumps(saved))
    assert "cuda:0  Two Lines" in page(capsys, "--hardware", str(file))


def test_the_page_says_where_values_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    text = page(capsys, "--vram", "8")
    assert "8 GiB GPU" in text
    assert "assumed: NVIDIA with CUDA" in text
    assert "name yours with --gpu" in text
    assert "assumed: reference host" in text


def test_the_page_of_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    text = page(capsys)
    assert text.startswith("host")
    assert "memory" in text


# --- the page of machines that are not here -----------------------------------------------------------------------

HOST = Host(
    os="linux",
    cpu=Cpu("AMD Ryzen 9 7950X 16-Core Processor", 16, 8, ("avx2", "avx512f")),
    memory_total_bytes=64 * GIB,
    memory_available_bytes=50 * GIB,
    memory_bandwidth_gbps=89.6,
    memory_bandwidth_basis=BandwidthBasis.SPECIFIED,
    memory_speed_mts=5600,
    memory_channels=2,
    source={"memory_speed_mts": "2 DDR5 modules, as the firmware says", "cpu.cores_usable": "cgroup v2 cpu.max"},
)
CARD = Device(
    id="cuda:0",
    name="GeForce RTX 4090",
    slug="geforce-rtx-4090",
    vendor=Vendor.NVIDIA,
    backend=Backend.CUDA,
    kind=DeviceKind.DISCRETE,
    memory_total_bytes=24 * GIB,
    memory_free_bytes=20 * GIB,
    memory_budget_bytes=20 * GIB,
    memory_bandwidth_gbps=1008.0,
    fp32_tflops=82.58,
    compute_capability="8.9",
    pci_id="0000:01:00.0",
    memory_used_bytes=4 * GIB,
    tdp_w=450.0,
    power_limit_w=400.0,
    pcie_link=PcieLink(1, 16, 4, 16),
    holders=(MemoryHolder(1234, "python3", 3 * GIB), MemoryHolder(7)),
    source={"memory_total_bytes": "NVML", "pcie_link": "NVML", "memory_bandwidth_gbps": "devices.json"},
)


def shown(*devices: Device, **fields: Any) -> str:
    machine = msgspec.structs.replace(Hardware(HOST, devices), **fields)
    lines = list(lines_of(machine))
    assert max(map(len, lines)) <= WIDTH
    return "\n".join(lines)


def test_the_page_has_memory_speed_channels_drivers_and_limits() -> None:
    text = shown(CARD, drivers={"nvidia": "580.65", "cuda": "13.0"})
    assert "89.6 GB/s, 5600 MT/s, 2 channels" in text
    assert "drivers   nvidia 580.65, cuda 13.0" in text
    assert "16 cores, 8 usable" in text
    assert "usable cores: cgroup v2 cpu.max" in text


def test_the_page_has_use_holders_link_power_and_targets() -> None:
    text = shown(CARD)
    row = next(line for line in text.splitlines() if line.startswith("cuda:0"))
    assert row.split()[-7:] == ["4.0", "GiB", "20.0", "GiB", "20.0", "GiB", "1008"]
    assert "PCIe 4.0 x16, now 1.0 x16" in text
    assert "limit 400 W, TDP 450 W" in text
    assert "python3 (1234) 3.0 GiB, process (7)" in text
    assert "compute capability 8.9" in text
    assert "memory, link: NVML" in text
    radeon = msgspec.structs.replace(CARD, compute_capability=None, gfx_target="gfx1100")
    assert "target gfx1100" in shown(radeon)


@pytest.mark.parametrize(
    ("link", "text"),
    [
        (PcieLink(4, 16, 4, 16), "PCIe 4.0 x16"),
        (PcieLink(3, 8), "PCIe 3.0 x8"),
        (PcieLink(max_generation=5, max_lanes=16), "PCIe 5.0 x16"),
        (PcieLink(lanes=4), "PCIe x4"),
    ],
)
def test_a_link_is_shown_as_far_as_it_is_known(link: PcieLink, text: str) -> None:
    assert f"  link      {text}\n" in shown(msgspec.structs.replace(CARD, pcie_link=link))
    assert "link  " not in shown(msgspec.structs.replace(CARD, pcie_link=PcieLink()))


def test_long_names_and_notes_stay_within_the_page() -> None:
    broken = msgspec.structs.replace(
        CARD,
        id="cuda:1",
        name="NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition MIG 2g.48gb with a remarkable name",
        usable=False,
        memory_budget_bytes=None,
        note="the driver reports that it has fallen off the bus: " + "restart the machine, " * 8,
        holders=tuple(MemoryHolder(n, f"process-with-a-long-name-{n}", n * GIB) for n in range(1, 20)),
    )
    text = shown(CARD, broken, notes=("What could not be found out. " * 12,))
    assert "not usable" in text
    assert "…" in text
    words = " ".join(text.split())
    assert "and 15 more" in words
    assert "with a remarkable name, PCI" in words


def test_a_shared_memory_and_a_measured_one_are_said() -> None:
    chip = msgspec.structs.replace(CARD, kind=DeviceKind.UNIFIED)
    host = msgspec.structs.replace(HOST, memory_bandwidth_basis=BandwidthBasis.MEASURED)
    text = shown(chip, host=host)
    assert "shared with the host" in text
    assert "89.6 GB/s measured" in text


# --- --measure and --save -------------------------------------------------------------------------------------------


def test_nothing_is_measured_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys)["host"]["memory_bandwidth_basis"] != "measured"
    assert not (Path(os.environ["XDG_STATE_HOME"]) / "planner" / "machines").exists()


def test_what_was_measured_is_used_by_later_runs(capsys: pytest.CaptureFixture[str]) -> None:
    measured = answer(capsys, "--measure")["host"]
    assert measured["memory_bandwidth_basis"] == "measured"
    assert measured["memory_bandwidth_gbps"] > 0
    assert measured["source"]["memory_bandwidth_gbps"].endswith("(planner hardware --measure)")
    later = answer(capsys)["host"]
    fields = ("memory_bandwidth_gbps", "memory_bandwidth_basis")
    assert [later[name] for name in fields] == [measured[name] for name in fields]
    assert later["source"] == measured["source"]
    described = answer(capsys, "--vram", "8")["host"]
    assert described["memory_bandwidth_basis"] == "assumed"


def test_a_measurement_that_cannot_be_kept_counts_for_this_run(capsys: pytest.CaptureFixture[str]) -> None:
    (Path(os.environ["XDG_STATE_HOME"])).write_text("in the way")
    assert run(["hardware", "--measure", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["host"]["memory_bandwidth_basis"] == "measured"
    assert "this run only" in err


@pytest.mark.parametrize("arguments", [("--vram", "8"), ("--gpu", "RTX 4090"), ("--ram", "8"), ("--hardware", "x")])
def test_a_described_machine_cannot_be_measured(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    error = answer(capsys, "--measure", *arguments, code=2)["error"]
    assert error["reference"] == "measure-described"
    assert error["hint"]


def test_a_saved_machine_is_what_json_prints_and_plans_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "machine.json"
    printed = answer(capsys, "--gpu", "2x RTX 3090", "--ram", "64", "--save", str(file))
    assert json.loads(file.read_bytes()) == printed
    assert not stat.S_IMODE(file.stat().st_mode) & 0o111
    plans = []
    for arguments in (("--gpu", "2x RTX 3090", "--ram", "64"), ("--hardware", str(file))):
        assert run(["recommend", *arguments, "--json"]) == 0
        plans.append(capsys.readouterr().out)
    assert plans[0] == plans[1]


def test_this_machine_saved_plans_as_it_does_itself(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "machine.json"
    assert run(["hardware", "--save", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("host")
    assert f"--hardware {file}" in err
    assert str(Path.home()) not in file.read_text()
    plans = []
    for arguments in (("--total",), ("--hardware", str(file))):
        assert run(["recommend", *arguments, "--json"]) == 0
        plans.append(json.loads(capsys.readouterr().out)["recommendations"])
    assert plans[0] == plans[1]


def test_a_hardware_file_is_overwritten_and_so_is_an_empty_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "machine.json"
    file.touch()
    for vram in (8, 24):
        answer(capsys, "--vram", str(vram), "--save", str(file))
        assert json.loads(file.read_bytes())["devices"][0]["memory_total_bytes"] == vram * GIB


@pytest.mark.parametrize("content", ["{}", "my diary", '{"host": 1}'])
def test_any_other_file_is_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str) -> None:
    file = tmp_path / "notes"
    file.write_text(content)
    error = answer(capsys, "--vram", "8", "--save", str(file), code=2)["error"]
    assert error["reference"] == "save-would-overwrite"
    assert file.read_text() == content
    assert answer(capsys, "--save", str(tmp_path), code=2)["error"]["reference"] == "save-would-overwrite"


def test_a_missing_folder_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    error = answer(capsys, "--vram", "8", "--save", str(tmp_path / "no" / "machine.json"), code=2)["error"]
    assert error["reference"] == "save-no-folder"
    assert error["hint"]
