import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planner.catalog.loader import load
from planner.catalog.reading import MAX_FILE_BYTES
from planner.core.models.model import Commercial
from planner.errors import CatalogError, UsageError

Put = Callable[..., Path]
Entry = Callable[..., dict[str, Any]]
Text = Callable[..., str]


def refusal(path: Path) -> CatalogError:
    with pytest.raises(CatalogError) as caught:
        load([path])
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


class TestUserFiles:
    def test_a_new_model_stands_beside_the_shipped_ones(self, put: Put, entry: Entry, text: Text) -> None:
        catalog = load([put("mine.json", text(entry()))])
        assert catalog.find("ME/Tiny").parameters == 1000
        assert len(catalog.models) == len(load().models) + 1
        assert catalog.notes == ()

    def test_an_entry_replaces_the_shipped_one_whatever_its_case_with_a_note(
        self, put: Put, entry: Entry, text: Text
    ) -> None:
        path = put("mine.json", text(entry("qwen/qwen3-8b", parameters=7)))
        catalog = load([path])
        assert catalog.find("Qwen3-8B").parameters == 7
        assert len(catalog.models) == len(load().models)
        (note,) = catalog.notes
        assert "qwen/qwen3-8b" in note
        assert str(path) in note

    def test_a_folder_stands_for_its_json_files(self, put: Put, entry: Entry, text: Text, tmp_path: Path) -> None:
        put("folder/a.json", text(entry("me/a")))
        put("folder/models/b.json", text(entry("me/b")))
        put("folder/README.md", "not a catalog")
        catalog = load([tmp_path / "folder"])
        assert catalog.find("me/a").id == "me/a"
        assert catalog.find("me/b").id == "me/b"

    def test_the_same_id_twice_names_both_places(self, put: Put, entry: Entry, text: Text) -> None:
        first = put("a.json", text(entry("me/other"), entry("me/tiny")))
        second = put("b.json", text(entry("Me/Tiny")))
        with pytest.raises(CatalogError) as caught:
            load([first, second])
        assert caught.value.reference == "duplicate-model"
        assert f"{first} (models[1])" in caught.value.message
        assert f"{second} (models[0])" in caught.value.message

    def test_twice_in_one_file_is_refused_too(self, put: Put, entry: Entry, text: Text) -> None:
        assert "described twice" in refusal(put("a.json", text(entry(), entry()))).message

    def test_a_path_that_does_not_exist_is_a_usage_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as caught:
            load([tmp_path / "nowhere.json"])
        assert caught.value.reference == "catalog-missing"

    def test_an_empty_folder_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(CatalogError):
            load([tmp_path])


class TestBrokenFiles:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", ["line 1", "column 1"]),
            (b'{"schema": 1,\n "family": "x",\n "models": [}', ["line 3"]),
            (b"[1, 2]", ["array"]),
            (b"\xff\xfe\x00", ["UTF-8", "byte 0"]),
            (b'{"schema": 1, "family": "caf\xe9"}', ["UTF-8", "byte 28", "0xe9"]),
            (b'{"schema": 2, "family": "x", "models": []}', ["schema"]),
            (b'{"family": "x", "models": []}', ["schema"]),
            (b"[" * 200_000, ["nested too deeply"]),
            (b'{"schema": 1, "family": "x", "models": [], "n": ' + b"9" * 5000 + b"}", ["number"]),
            (b'{"schema": 1, "family": "x", "models": [], "n":\n -Infinity}', ["-Infinity", "line 2"]),
            (b" " * (MAX_FILE_BYTES + 1), ["MiB"]),
        ],
        ids=lambda value: repr(value)[:24] if isinstance(value, bytes) else "",
    )
    def test_says_what_is_wrong_and_where(self, put: Put, content: bytes, words: list[str]) -> None:
        message = refusal(put("broken.json", content)).message
        for word in words:
            assert word in message

    def test_a_byte_order_mark_is_no_mistake(self, put: Put, entry: Entry, text: Text) -> None:
        assert load([put("a.json", b"\xef\xbb\xbf" + text(entry()).encode())]).find("me/tiny").parameters == 1000

    def test_duplicate_keys_name_both_lines(self, put: Put) -> None:
        content = (
            '{"schema": 1, "family": "x", "models": [\n  {"id": "a/b",\n   "role": "generation",\n "id": "a/c"}]}'
        )
        message = refusal(put("twice.json", content)).message
        assert '"id"' in message
        assert "lines 2 and 4" in message

    def test_a_repeated_key_in_different_objects_is_fine(self, put: Put, entry: Entry, text: Text) -> None:
        assert load([put("a.json", text(entry("me/a"), entry("me/b")))]).find("me/b").id == "me/b"

    def test_an_unknown_field_names_the_nearest_known_one_and_the_model(
        self, put: Put, entry: Entry, text: Text
    ) -> None:
        message = refusal(put("a.json", text(entry(contxt_length=5)))).message
        assert "contxt_length" in message
        assert "context_length" in message
        assert "$.models[0]" in message
        assert "me/tiny" in message

    def test_an_unknown_field_deep_inside_is_compared_with_the_fields_there(
        self, put: Put, entry: Entry, text: Text
    ) -> None:
        artifact = {"source": "hub", "repo": "a/b", "file": "c.gguf", "sha265": "0" * 64}
        changed = entry(variants=[{"quant": "Q8_0", "artifacts": [artifact]}])
        message = refusal(put("a.json", text(changed))).message
        assert "“sha256”" in message
        assert "$.models[0].variants[0].artifacts[0]" in message

    @pytest.mark.parametrize(
        "change",
        [
            {"parameters": 0},
            {"parameters": -5},
            {"parameters": 2**60},
            {"parameters": 10**30},
            {"parameters": 1.5},
            {"parameters": "8B"},
            {"context_length": 2**32},
            {"role": "chat"},
            {"id": ""},
            {"id": "a b"},
            {"id": "a/b:Q8_0"},
            {"release_date": "last week"},
            {"release_date": "2024-02-30"},
            {"active_parameters": 2000},
            {"aliases": [""]},
            {"licence": {"spdx": "MIT", "commercial": "maybe"}},
            {"scores": [{"name": "x", "value": "good", "date": "2024-01-01", "source": "y"}]},
            {"scores": [{"name": "x", "value": 1, "date": "soon", "source": "y"}]},
            {"variants": [{"quant": "Q8_0", "artifacts": []}, {"quant": "q8_0", "artifacts": []}]},
            {"variants": [{"quant": "Q8_0", "artifacts": [], "file_bytes": -1}]},
            {"variants": [{"quant": "Q8_0", "artifacts": [], "file_bytes": 5, "tensor_bytes": 6}]},
        ],
        ids=str,
    )
    def test_values_that_cannot_be(self, put: Put, entry: Entry, text: Text, change: dict[str, Any]) -> None:
        refusal(put("a.json", text(entry(**change))))

    @pytest.mark.parametrize(
        "change",
        [
            {"file": "../../etc/passwd"},
            {"file": "/etc/passwd"},
            {"file": "C:\\x.gguf"},
            {"file": "a@b.gguf"},
            {"file": "a\x00.gguf"},
            {"file": "con.gguf"},
            {"file": ""},
            {"repo": "../x"},
            {"repo": "onlyname"},
            {"repo": None},
            {"sha256": "123"},
            {"bytes": 0},
            {"source": "torrent"},
            {"source": "package"},
            {"shards": ["other.gguf", "x.gguf"]},
            {"shards": ["x.gguf", "y.gguf"], "shard_sha256": ["0" * 64]},
            {"convert": "rm -rf"},
        ],
        ids=str,
    )
    def test_artifacts_that_cannot_be(self, put: Put, entry: Entry, text: Text, change: dict[str, Any]) -> None:
        artifact = {"source": "hub", "repo": "a/b", "file": "x.gguf", **change}
        refusal(put("a.json", text(entry(variants=[{"quant": "Q8_0", "artifacts": [artifact]}]))))

    @pytest.mark.parametrize(
        "change",
        [
            {"layers": 2**32},
            {"layers": 0},
            {"head_count_kv": 0},
            {"head_count_kv": 3},
            {"expert_count": 8},
            {"expert_count": 8, "expert_used_count": 9},
            {"kv_lora_rank": 512},
            {"full_attention_every": 6},
            {"leading_dense_layers": 9},
            {"expert_every": 2},
            {"layer_pattern": "x"},
            {"layer_pattern": "fff"},
            {"layer_pattern": "sf"},
            {"layer_pattern": "rf"},
            {"layer_pattern": "sf", "sliding_window": 512, "full_attention_every": 2},
            {"shared_kv_layers": 2},
            {"feed_forward_lengths": [128]},
            {"recurrent": {"kind": "delta-net"}},
        ],
        ids=str,
    )
    def test_architectures_that_cannot_be(self, put: Put, entry: Entry, text: Text, change: dict[str, Any]) -> None:
        good = {
            "name": "llama",
            "layers": 2,
            "embedding_length": 64,
            "feed_forward_length": 128,
            "head_count": 4,
            "head_count_kv": 2,
            "key_length": 16,
            "value_length": 16,
            "vocab_size": 100,
        }
        assert load([put("good.json", text(entry(architecture=good)))]).find("tiny").architecture is not None
        refusal(put("bad.json", text(entry(architecture={**good, **change}))))


class TestShippedFiles:
    def folder(self, put: Put, name: str, content: str) -> Path:
        return put(f"data/models/{name}", content).parents[1]

    def test_a_broken_one_is_a_note_and_the_others_load(self, put: Put, entry: Entry, text: Text) -> None:
        self.folder(put, "a.json", "{")
        folder = self.folder(put, "b.json", text(entry()))
        catalog = load(folder=folder)
        assert [model.id for model in catalog.models] == ["me/tiny"]
        (note,) = catalog.notes
        assert "a.json" in note
        assert "line 1" in note

    def test_nothing_left_is_an_error_that_says_why(self, put: Put) -> None:
        folder = self.folder(put, "a.json", "{")
        with pytest.raises(CatalogError, match=r"a\.json"):
            load(folder=folder)

    def test_with_nothing_shipped_the_users_models_are_enough(self, put: Put, entry: Entry, text: Text) -> None:
        folder = self.folder(put, "a.json", "{")
        assert load([put("mine.json", text(entry()))], folder=folder).find("tiny").id == "me/tiny"

    def test_a_broken_device_table_names_its_file(self, put: Put, entry: Entry, text: Text) -> None:
        folder = self.folder(put, "a.json", text(entry()))
        assert load(folder=folder).devices == ()
        put("data/devices.json", json.dumps({"schema": 1, "as_of": "2026-01-01", "devices": [{}]}))
        with pytest.raises(CatalogError, match=r"devices\.json"):
            _ = load(folder=folder).devices

    def test_the_order_is_fixed(self) -> None:
        ids = [model.id.casefold() for model in load().models]
        assert ids == sorted(ids)
        assert load() == load()


def test_nan_never_gets_in(put: Put, entry: Entry, text: Text) -> None:
    scored = entry(scores=[{"name": "x", "value": math.nan, "date": "2024-01-01", "source": "y"}])
    assert "NaN" in refusal(put("a.json", text(scored))).message


def test_an_entry_may_leave_out_what_it_does_not_know(put: Put, entry: Entry, text: Text) -> None:
    model = load([put("a.json", text(entry(parameters=None)))]).find("tiny")
    assert model.parameters is None
    assert model.licence.commercial is Commercial.YES
