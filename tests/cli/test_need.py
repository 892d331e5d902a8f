"""`planner need`: the page, the document, its agreement with `planner estimate`, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from planner.catalog.loader import load
from planner.cli.columns import cells
from planner.core.fits.need_answer import DESKTOP
from planner.core.machines.overrides import Overrides, virtual_hardware
from planner.core.pages.views import hardware_view
from planner.units import GIB
from tests.cli.conftest import Outcome, Planner

RATE = {"low", "mid", "high", "unit", "basis"}


def document(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.err
    found: dict[str, Any] = outcome.json
    return found


class TestDocument:
    def test_has_the_fields_of_the_contract(self, planner: Planner) -> None:
        found = document(planner("need", "gpt-oss-120b", "--json"))
        assert set(found) == {
            "schema", "model", "context", "parallel", "kv_type", "min_speed", "assumed_host", "quants", "devices",
            "contexts", "rentals",
        }  # fmt: skip
        assert (found["schema"], found["context"], found["min_speed"]) == (1, 8192, None)
        assert found["model"]["id"] == "openai/gpt-oss-120b"
        for quant in found["quants"]:
            assert set(quant) == {
                "quant", "predicted", "file_bytes", "file_bytes_source", "gpu_bytes", "host_bytes", "cpu_only_bytes",
                "cpu_only", "partial",
            }  # fmt: skip
            assert set(quant["cpu_only"]) == {"machine", "ram_gib", "tg", "embed"}
            assert quant["cpu_only"]["machine"]["basis"] == "assumed"
            assert set(quant["partial"]) == {
                "card_gib", "gpu_bytes", "host_bytes", "n_gpu_layers", "n_cpu_moe", "tg", "embed",
            }  # fmt: skip
        for device in found["devices"]:
            assert set(device) == {
                "slug", "name", "also", "class", "memory_gib", "memory_bandwidth_gbps", "count", "quant", "verdict",
                "reaches_speed", "device_bytes", "host_bytes", "n_gpu_layers", "n_cpu_moe", "largest_quant", "tg",
                "embed",
            }  # fmt: skip
            assert set(device["tg"]) == RATE
            assert device["embed"] is None
            assert device["quant"] == "MXFP4"
        assert [row["memory_gib"] for row in found["contexts"]] == [8, 12, 16, 24, 32, 48, 80]
        assert found["contexts"][-1]["quants"] == [{"quant": "MXFP4", "context": 131072}]

    def test_is_the_same_twice_and_knows_nothing_of_this_machine(self, planner: Planner) -> None:
        first = planner("need", "Qwen3-8B", "--json")
        assert first == planner("need", "Qwen3-8B", "--json")
        assert "memory_available" not in first.out

    def test_the_context_is_the_one_asked_for_and_bounded_by_training(self, planner: Planner) -> None:
        short, long = (document(planner("need", "Qwen3-8B", "--json", "--context", c)) for c in ("2048", "32768"))
        assert (short["context"], long["context"]) == (2048, 32768)
        assert short["quants"][0]["gpu_bytes"] < long["quants"][0]["gpu_bytes"]
        beyond = planner("need", "Qwen3-8B", "--json", "--context", "1000000")
        assert document(beyond)["context"] == 40960
        assert "trained on 40,960 tokens" in beyond.err

    def test_a_quant_may_be_named_in_either_place(self, planner: Planner) -> None:
        behind, option, both = (
            planner("need", *words, "--json")
            for words in (("Qwen3-8B:Q8_0",), ("Qwen3-8B", "--quant", "q8_0"), ("Qwen3-8B:Q8_0", "--quant", "Q8_0"))
        )
        assert behind == option == both
        found = document(behind)
        assert [quant["quant"] for quant in found["quants"]] == ["Q8_0"]
        assert {device["quant"] for device in found["devices"]} == {"Q8_0"}

    def test_all_adds_devices_of_every_kind(self, planner: Planner) -> None:
        few = document(planner("need", "Llama-3.3-70B", "--json"))["devices"]
        everything = document(planner("need", "Llama-3.3-70B", "--json", "--all"))["devices"]
        assert len(few) <= 15
        assert len(everything) > 400
        assert {device["class"] for device in everything} > {device["class"] for device in few}
        slugs = {device["slug"]: device for device in everything}
        assert all(slugs[device["slug"]] == device for device in few)

    def test_an_embedder_is_measured_by_what_it_reads(self, planner: Planner) -> None:
        found = document(planner("need", "bge-m3", "--min-speed", "20000", "--json"))
        assert found["devices"]
        for device in found["devices"]:
            assert device["tg"] is None
            assert device["embed"]["mid"] >= 20000
            assert device["reaches_speed"] is True

    def test_slots_and_cache_type_of_an_embedder_change_nothing(self, planner: Planner) -> None:
        plain = planner("need", "bge-m3", "--json")
        other = planner("need", "bge-m3", "--json", "--parallel", "4", "--kv-type", "q8_0")
        assert other.out == plain.out
        assert "change nothing" in other.err


def taken(answer: dict[str, Any], *, shared: bool) -> tuple[int, int]:
    """Bytes on the devices together and on the host beside them."""
    rows = answer["memory"]["devices"]
    host = sum(row["total_bytes"] for row in rows if row["device"] == "host")
    return (host, 0) if shared else (answer["memory"]["total_bytes"] - host, host)


class TestAgreesWithEstimate:
    @pytest.mark.parametrize("reference", ["Qwen3-8B:Q4_K_M", "Llama-3.3-70B:Q4_K_M", "gemma-3-27b:Q4_K_M"])
    def test_on_devices_that_hold_everything(self, planner: Planner, reference: str) -> None:
        context = "16384"
        devices = document(planner("need", reference, "--json", "--context", context))["devices"]
        whole = [device for device in devices if device["verdict"] == "fits"]
        assert len(whole) > 8
        for device in whole:
            shared = device["class"] in {"apple", "shared"}
            ram = ("--ram", str(device["memory_gib"])) if shared else ()
            named = f"{device['count']}x {device['name']}" if device["count"] > 1 else device["name"]
            found = planner("estimate", reference, "--gpu", named, *ram, "--context", context, "--json")
            answer = document(found)["estimate"]
            assert answer["placement"]["verdict"] == "fits"
            assert answer["throughput"]["tg"] == device["tg"]
            assert taken(answer, shared=shared) == (device["device_bytes"], device["host_bytes"])

    def test_on_a_card_with_the_rest_on_the_assumed_desktop(self, planner: Planner, tmp_path: Path) -> None:
        desktop = tmp_path / "desktop.json"
        desktop.write_text(json.dumps(hardware_view(DESKTOP.hardware())))
        devices = document(planner("need", "gpt-oss-120b", "--json"))["devices"]
        part = [device for device in devices if device["verdict"] == "offload"]
        assert part
        for device in part:
            found = planner("estimate", "gpt-oss-120b", "--gpu", device["name"], "--hardware", str(desktop), "--json")
            answer = document(found)["estimate"]
            assert answer["placement"]["verdict"] == "offload"
            assert answer["placement"]["n_gpu_layers"] == device["n_gpu_layers"]
            assert answer["throughput"]["tg"] == device["tg"]
            assert taken(answer, shared=False) == (device["device_bytes"], device["host_bytes"])

    def test_without_a_gpu(self, planner: Planner) -> None:
        found = document(planner("need", "Qwen3-8B:Q4_K_M", "--json"))
        (quant,) = found["quants"]
        machine = quant["cpu_only"]["machine"]
        words = ("--ram", str(quant["cpu_only"]["ram_gib"]), "--cpu-cores", str(machine["cores"]))
        bandwidth = str(machine["memory_bandwidth_gbps"])
        answer = document(planner("estimate", "Qwen3-8B:Q4_K_M", *words, "--bandwidth", bandwidth, "--json"))
        assert answer["estimate"]["memory"]["total_bytes"] == quant["cpu_only_bytes"]
        assert answer["estimate"]["throughput"]["tg"] == quant["cpu_only"]["tg"]

    def test_of_an_embedder_whose_input_is_taken_in_one_go(self, planner: Planner) -> None:
        devices = document(planner("need", "bge-m3:Q8_0", "--json"))["devices"]
        (device,) = (device for device in devices if device["slug"] == "l4")
        sizes = ("--context", "8192", "--batch", "8192", "--ubatch", "8192")
        answer = document(planner("estimate", "bge-m3:Q8_0", "--gpu", "L4", *sizes, "--json"))["estimate"]
        assert answer["throughput"]["embed"] == device["embed"]
        assert taken(answer, shared=False) == (device["device_bytes"], device["host_bytes"])


class TestPage:
    @pytest.mark.parametrize(
        "words",
        [
            ("bge-m3",),
            ("Qwen3-8B", "--parallel", "4", "--kv-type", "q8_0"),
            ("Llama-3.3-70B",),
            ("gpt-oss-120b",),
            ("gemma-3-27b", "--context", "131072"),
            ("DeepSeek-V3",),
            ("Qwen3-Embedding-0.6B", "--min-speed", "20000"),
            ("Llama-3.3-70B", "--all"),
        ],
        ids=" ".join,
    )
    def test_fits_80_cells(self, planner: Planner, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        found = planner("need", *words)
        assert found.code == 0, found.err
        assert max(map(cells, found.out.splitlines())) <= 80

    def test_names_what_is_assumed_and_what_is_asked(self, planner: Planner) -> None:
        found = planner("need", "Qwen3-8B", "--min-speed", "50", "--parallel", "2")
        assert "Assumed without a GPU: a desktop with two channels of DDR5-5600" in " ".join(found.out.split())
        assert "in each of 2 slots" in found.out
        assert "writing 50 tok/s or more" in found.out
        assert "--all" in found.out
        assert "--all" not in planner("need", "Qwen3-8B", "--all").out

    def test_says_that_a_model_cannot_be_run(self, planner: Planner) -> None:
        assert "Cannot be run here: Convert it yourself" in planner("need", "Linq-Embed-Mistral").out

    def test_a_context_that_every_size_holds_takes_one_line(self, planner: Planner) -> None:
        assert "A card of 8 GiB holds the whole context of 8,192 tokens" in planner("need", "bge-m3").out


class TestRefusals:
    def test_a_speed_out_of_reach_exits_3_with_the_nearest_device(self, planner: Planner) -> None:
        found = planner("need", "Llama-3.3-70B", "--min-speed", "5000", "--json")
        assert found.code == 3
        assert found.json["error"]["reference"] == "too-slow"
        assert "The nearest is" in found.json["error"]["message"]

    @pytest.mark.parametrize(
        ("words", "code", "reference", "hint"),
        [
            (("Qwen3-8B:Q9",), 2, "unknown-quant", "Q4_K_M"),
            (("Qwen3-8B", "--quant", "Q9"), 2, "unknown-quant", "Q4_K_M"),
            (("Qwen3-8B:Q8_0", "--quant", "Q4_K_M"), 2, "usage", "either place"),
            (("no-such-model-at-all",), 2, "unknown-model", "planner models"),
            (("text-embedding-3-large",), 3, "no-architecture", "planner show"),
            (("Qwen3-8B", "--min-speed", "0"), 2, "usage", "--help"),
            (("Qwen3-8B", "--kv-type", "q3"), 2, "usage", "--help"),
        ],
    )
    def test_what_cannot_be_answered(
        self, planner: Planner, words: tuple[str, ...], code: int, reference: str, hint: str
    ) -> None:
        found = planner("need", *words, "--json")
        assert found.code == code
        assert found.json["error"]["reference"] == reference
        assert hint in found.json["error"]["hint"]


def test_the_assumed_desktop_is_what_its_name_says() -> None:
    hardware = DESKTOP.hardware()
    assert hardware.host.memory_bandwidth_gbps == pytest.approx(2 * 8 * 5600 / 1000)
    assert hardware.host.memory_total_bytes == DESKTOP.ram_gib[-1] * GIB
    with_card = virtual_hardware(Overrides(gpu="geforce-rtx-3090"), load().devices, base=hardware)
    assert with_card.host.memory_bandwidth_gbps == hardware.host.memory_bandwidth_gbps
