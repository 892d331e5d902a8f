"""`planner hardware`: the contract for scripts, and a page that says where each value comes from."""

import json
from pathlib import Path
from typing import Any

import pytest

from planner.cli.app import run

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
