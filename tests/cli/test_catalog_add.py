"""`planner catalog add`, against a Hub on loopback: one header is read, a whole entry is written."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from planner.catalog.check import check
from planner.config import load_config
from tests.cli.conftest import Outcome
from tests.cli.hub_home import hub_for_commands, own_files
from tests.cli.test_inspect import gguf_bytes
from tests.fetch.lying_hub import COMMIT, LyingHub

Planner = Callable[..., Outcome]
WEIGHTS = 2176 + 64 * 64 * 4
TARGET = "hf:acme/tiny-GGUF"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingHub]:
    yield from hub_for_commands(tmp_path, monkeypatch)


@pytest.fixture
def repo(hub: LyingHub) -> LyingHub:
    """A repository as publishers have them."""
    hub.files |= {
        "README.md": b"hello",
        "tiny-Q8_0.gguf": gguf_bytes(),
        "tiny-Q4_K_M.gguf": gguf_bytes(general__file_type=15),
        "mmproj-F16.gguf": gguf_bytes("clip"),
        "imatrix.gguf": b"GGUF",
        "tiny-base-Q6_K.gguf": b"GGUF",
        "tiny-chat-Q6_K.gguf": b"GGUF",
        "BF16/tiny-BF16-00001-of-00002.gguf": b"GGUF1",
        "BF16/tiny-BF16-00002-of-00002.gguf": b"GGUF2",
        "tiny-F32-00001-of-00003.gguf": b"GGUF",
    }
    hub.tags = ["gguf", "license:cc-by-nc-4.0"]
    return hub


def no_findings() -> None:
    report = check(tuple(own_files().values()), shipped=False)
    assert report.findings == ()


class TestRepository:
    def test_all_its_quantisations_become_one_valid_entry(self, planner: Planner, repo: LyingHub) -> None:
        added = planner("catalog", "add", TARGET, "--json")
        assert added.code == 0, added.out
        model = added.json["model"]
        assert model["id"] == "acme/tiny"
        assert model["role"] == "generation"
        assert model["parameters"] == 32 * 64 + 64 * 64
        assert model["gguf_repos"] == ["acme/tiny-GGUF"]
        files = {artifact["quant"]: artifact for artifact in model["artifacts"]}
        assert set(files) == {"Q8_0", "Q4_K_M", "BF16"}
        assert files["Q8_0"]["revision"] == COMMIT
        assert files["Q8_0"]["bytes"] == len(repo.files["tiny-Q8_0.gguf"])
        assert len(files["Q8_0"]["sha256"]) == 64
        assert len(files["BF16"]["shards"]) == 2
        assert files["BF16"]["bytes"] == 10
        assert list(own_files()) == ["acme--tiny.json"]
        assert added.json["file"] == str(own_files()["acme--tiny.json"])
        no_findings()

    def test_what_is_left_out_is_said(self, planner: Planner, repo: LyingHub) -> None:
        notes = "\n".join(planner("catalog", "add", TARGET, "--json").json["notes"])
        for name in ("mmproj-F16.gguf", "imatrix.gguf", "tiny-chat-Q6_K.gguf", "1 of 3 parts"):
            assert name in notes

    def test_one_header_is_read_and_no_weights(self, planner: Planner, repo: LyingHub) -> None:
        repo.files["tiny-Q4_K_M.gguf"] = gguf_bytes(general__file_type=15) + bytes(3 * 2**20)
        assert planner("catalog", "add", TARGET).code == 0
        read = repo.gets()
        assert {seen.path.rpartition("/")[2] for seen in read} == {"tiny-Q4_K_M.gguf"}
        assert all(seen.headers["range"].startswith("bytes=") for seen in read)
        last = max(int(seen.headers["range"].rpartition("-")[2]) for seen in read)
        assert last < 2**20

    def test_afterwards_every_command_knows_it(self, planner: Planner, repo: LyingHub) -> None:
        added = planner("catalog", "add", TARGET)
        assert "Next: planner estimate acme/tiny" in added.out
        assert str(own_files()["acme--tiny.json"]) in added.out
        assert planner("models", "--search", "acme/tiny", "--json").json["models"][0]["id"] == "acme/tiny"
        assert planner("estimate", "acme/tiny", "--vram", "8", "--json").json["model"] == "acme/tiny"
        assert planner("fetch", "acme/tiny:Q8_0", "--json").json["error"]["reference"] == "licence-unaccepted"
        fetched = planner("fetch", "acme/tiny:Q8_0", "--accept-licence", "--json")
        assert fetched.json["artifacts"][0]["verified"]
        assert planner("catalog", "check", "--json").json["findings"] == []

    def test_the_entry_says_where_every_value_comes_from(self, planner: Planner, repo: LyingHub) -> None:
        planner("catalog", "add", TARGET, "--language", "German", "--language", "en")
        (entry,) = json.loads(own_files()["acme--tiny.json"].read_text())["models"]
        for name in ("parameters", "architecture", "context_length"):
            assert entry["sources"][name].startswith("GGUF header of acme/tiny-GGUF/tiny-Q4_K_M.gguf at 0123456789ab")
        assert entry["sources"]["languages"] == "given with planner catalog add"
        assert entry["languages"] == ["de", "en"]
        assert entry["licence"] == {"spdx": "CC-BY-NC-4.0", "commercial": "no"}
        assert "Hub" in entry["sources"]["licence"]

    def test_a_licence_of_the_header_wins_over_the_page_and_the_users_over_both(
        self, planner: Planner, repo: LyingHub
    ) -> None:
        repo.files["tiny-Q4_K_M.gguf"] = gguf_bytes(general__license="mit")
        model = planner("catalog", "add", TARGET, "--json").json["model"]
        assert model["licence"] == {"spdx": "MIT", "commercial": "yes"}
        given = planner("catalog", "add", TARGET, "--force", "--licence", "own-terms", "--commercial", "no", "--json")
        assert given.json["model"]["licence"] == {"spdx": "LicenseRef-own-terms", "commercial": "no"}

    def test_a_licence_nobody_names_is_unknown_and_noted(self, planner: Planner, repo: LyingHub) -> None:
        repo.tags = []
        added = planner("catalog", "add", TARGET, "--json").json
        assert added["model"]["licence"]["commercial"] == "unknown"
        assert any("--licence" in note for note in added["notes"])

    def test_one_file_is_added_alone(self, planner: Planner, repo: LyingHub) -> None:
        model = planner("catalog", "add", f"{TARGET}/tiny-Q8_0.gguf", "--id", "me/one", "--json").json["model"]
        assert [artifact["quant"] for artifact in model["artifacts"]] == ["Q8_0"]
        assert model["gguf_repos"] == []

    def test_a_page_of_the_hub_is_its_repository(self, planner: Planner, repo: LyingHub) -> None:
        for number, path in enumerate(("", "/tree/main", "/blob/main/tiny-Q8_0.gguf")):
            address = f"{repo.url}/acme/tiny-GGUF{path}"
            model = planner("catalog", "add", address, "--id", f"me/{number}", "--json").json["model"]
            assert model["artifacts"][0]["source"] == "hub"

    def test_parts_are_read_together_when_nothing_else_is_there(self, planner: Planner, hub: LyingHub) -> None:
        hub.files["tiny-Q8_0-00001-of-00002.gguf"] = gguf_bytes(split__no=0, split__count=2)
        hub.files["tiny-Q8_0-00002-of-00002.gguf"] = gguf_bytes(split__no=0, split__count=2)
        added = planner("catalog", "add", TARGET, "--json")
        assert added.code == 4
        assert "split.no" in added.json["error"]["message"]

    def test_a_file_whose_name_tells_nothing_is_named_by_its_header(self, planner: Planner, hub: LyingHub) -> None:
        hub.files["model.gguf"] = gguf_bytes()
        model = planner("catalog", "add", TARGET, "--json").json["model"]
        assert model["artifacts"][0]["quant"] == "Q8_0"


class TestRefusals:
    def test_an_id_that_is_there_already_needs_force(self, planner: Planner, repo: LyingHub) -> None:
        assert planner("catalog", "add", TARGET).code == 0
        before = own_files()["acme--tiny.json"].read_bytes()
        requests = len(repo.requests)
        again = planner("catalog", "add", TARGET, "--role", "reranker", "--json")
        assert again.code == 2
        assert again.json["error"]["reference"] == "model-exists"
        assert "--force" in again.json["error"]["hint"]
        assert len(repo.requests) == requests
        assert own_files()["acme--tiny.json"].read_bytes() == before
        assert planner("catalog", "add", TARGET, "--role", "reranker", "--force").code == 0
        assert own_files()["acme--tiny.json"].read_bytes() != before

    def test_a_shipped_model_is_not_replaced_by_accident(self, planner: Planner, repo: LyingHub) -> None:
        added = planner("catalog", "add", TARGET, "--id", "qwen/qwen3-8b", "--json")
        assert added.code == 2
        assert "shipped catalog" in added.json["error"]["message"]

    def test_an_entry_in_a_file_with_others_is_replaced_where_it_stands(
        self, planner: Planner, repo: LyingHub
    ) -> None:
        own = load_config().own_catalog_dir
        own.mkdir(parents=True)
        base = {"family": "mine", "role": "generation", "parameters": 5, "context_length": 100}
        licence = {"spdx": "MIT", "commercial": "yes"}
        models = [{**base, "id": name, "licence": licence} for name in ("me/a", "Acme/Tiny", "me/b")]
        (own / "mine.json").write_text(json.dumps({"schema": 1, "family": "mine", "models": models}))
        assert planner("catalog", "add", TARGET, "--force").code == 0
        assert list(own_files()) == ["mine.json"]
        written = json.loads((own / "mine.json").read_text())["models"]
        assert [model["id"] for model in written] == ["me/a", "acme/tiny", "me/b"]
        assert written[1]["parameters"] == 6144
        assert planner("models", "--search", "me/").code == 0

    @pytest.mark.parametrize("name", ["a b", "a:Q8_0", " ", "x" * 201])
    def test_an_id_nobody_could_type(self, planner: Planner, repo: LyingHub, name: str) -> None:
        assert planner("catalog", "add", TARGET, "--id", name).code == 2
        assert repo.requests == []

    @pytest.mark.parametrize(
        ("target", "code", "words"),
        [
            ("hf:bad", 2, "not a repository"),
            ("hf:acme/tiny-GGUF/../../x", 2, "not a repository"),
            ("hf:acme/tiny-GGUF@../x.gguf", 2, "not a repository"),
            ("hf:nobody/x", 5, "no public repository"),
            ("hf:acme/tiny-GGUF/nope.gguf", 5, "has no file nope.gguf"),
            ("hf:empty/x", 5, "holds no GGUF"),
            ("hf:gated/x", 5, "licence must be accepted"),
            ("nothing.gguf", 2, "No such file"),
            ("ftp://x/y.gguf", 2, "not an address"),
            ("http://example.org/y.gguf", 5, "only https"),
        ],
    )
    def test_a_target_that_leads_nowhere(
        self, planner: Planner, repo: LyingHub, target: str, code: int, words: str
    ) -> None:
        repo.others |= {"empty/x": {"model.safetensors": b"x"}, "gated/x": {}}
        repo.gated.add("gated/x")
        added = planner("catalog", "add", target, "--json")
        assert added.code == code
        assert words in added.json["error"]["message"]
        assert added.json["error"]["hint"]
        assert own_files() == {}

    @pytest.mark.parametrize("target", [TARGET, f"{TARGET}/tiny-Q8_0.gguf", "https://example.org/x.gguf"])
    def test_offline_says_so_and_asks_nobody(self, planner: Planner, repo: LyingHub, target: str) -> None:
        added = planner("catalog", "add", target, "--offline", "--json")
        assert added.code == 5
        assert added.json["error"]["reference"] == "offline"
        assert repo.requests == []

    def test_a_broken_header_names_the_file_and_what_to_do(self, planner: Planner, hub: LyingHub) -> None:
        hub.files["tiny-Q8_0.gguf"] = gguf_bytes()[:-100]
        added = planner("catalog", "add", TARGET, "--json")
        assert added.code == 4
        assert "tiny-Q8_0.gguf" in added.json["error"]["message"]
        assert "planner catalog add hf:" in added.json["error"]["hint"]

    def test_a_header_no_estimate_can_be_made_of_is_refused(self, planner: Planner, hub: LyingHub) -> None:
        hub.files["tiny-Q8_0.gguf"] = gguf_bytes(llama__block_count=2**32 - 1)
        added = planner("catalog", "add", TARGET, "--json")
        assert added.code == 4
        assert "block_count" in added.json["error"]["message"]

    def test_a_folder_that_cannot_be_written_is_named(self, planner: Planner, repo: LyingHub) -> None:
        config = load_config().config_dir
        config.mkdir(parents=True)
        (config / "catalog").write_text("in the way")
        added = planner("catalog", "add", TARGET, "--json")
        assert added.code == 2
        assert added.json["error"]["reference"] == "catalog-not-writable"


class TestEmbedders:
    def test_pooling_that_the_header_names_is_taken(self, planner: Planner, hub: LyingHub) -> None:
        hub.files["tiny-Q8_0.gguf"] = gguf_bytes(llama__pooling_type=3)
        model = planner("catalog", "add", TARGET, "--json").json["model"]
        assert (model["role"], model["pooling"], model["embedding_length"]) == ("embedding", "last", 64)

    def test_pooling_that_nobody_names_must_be_given(self, planner: Planner, repo: LyingHub) -> None:
        added = planner("catalog", "add", TARGET, "--role", "embedding", "--json")
        assert added.code == 2
        error = added.json["error"]
        assert error["reference"] == "pooling-needed"
        assert "--pooling mean|cls|last" in error["hint"]
        assert own_files() == {}

    def test_given_pooling_and_prompts_are_in_the_entry(self, planner: Planner, repo: LyingHub) -> None:
        options = ("--role", "embedding", "--pooling", "last", "--query-prompt", "Q: ", "--document-prompt", "D: ")
        model = planner("catalog", "add", TARGET, *options, "--json").json["model"]
        assert model["pooling"] == "last"
        assert model["prompts"] == {"query": "Q: ", "document": "D: "}
        no_findings()

    def test_on_a_terminal_it_is_asked_for(
        self, planner: Planner, repo: LyingHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin", Terminal("nonsense\nlast\n"))
        monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
        added = planner("catalog", "add", TARGET, "--role", "embedding")
        assert added.code == 0, added.err
        (entry,) = json.loads(own_files()["acme--tiny.json"].read_text())["models"]
        assert entry["pooling"] == "last"
        assert entry["sources"]["pooling"] == "given with planner catalog add"

    def test_a_reranker_needs_no_pooling_to_be_given(self, planner: Planner, repo: LyingHub) -> None:
        assert planner("catalog", "add", TARGET, "--role", "reranker", "--json").json["model"]["pooling"] == "rank"


class Terminal:
    """Standard input with somebody at it."""

    def __init__(self, said: str) -> None:
        self._lines = iter(said.splitlines(keepends=True))

    def isatty(self) -> bool:
        return True

    def readline(self, _size: int = -1) -> str:
        return next(self._lines, "")


class TestOwnFiles:
    def test_a_file_is_described_and_used_where_it_lies(self, planner: Planner, tmp_path: Path) -> None:
        path = tmp_path / "my model@home.Q8_0.gguf"
        path.write_bytes(gguf_bytes(general__license="mit"))
        added = planner("catalog", "add", str(path), "--offline", "--json").json
        assert added["model"]["id"] == "local/my-model-home"
        text = own_files()["local--my-model-home.json"].read_text()
        assert str(tmp_path) not in text
        fetched = planner("fetch", "local/my-model-home", "--offline", "--json").json["artifacts"][0]
        assert fetched["path"] == str(path)
        assert planner("fetch", "local/my-model-home", "--list", "--json").json["variants"][0]["artifacts"]
        no_findings()

    def test_it_is_hashed_once(self, planner: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "x-Q8_0.gguf"
        path.write_bytes(gguf_bytes())
        planner("catalog", "add", str(path))
        assert planner("fetch", "local/x").code == 0
        monkeypatch.setattr("planner.fetch.brought.hash_file", lambda *_: pytest.fail("hashed again"))
        assert planner("fetch", "local/x").code == 0

    def test_a_file_that_moved_or_changed_is_noticed(self, planner: Planner, tmp_path: Path) -> None:
        path = tmp_path / "x-Q8_0.gguf"
        path.write_bytes(gguf_bytes())
        planner("catalog", "add", str(path))
        path.write_bytes(gguf_bytes() + b"more")
        assert planner("fetch", "local/x").code == 4
        path.rename(tmp_path / "y-Q8_0.gguf")
        gone = planner("fetch", "local/x")
        assert gone.code == 5
        assert "planner catalog add FILE.gguf --force" in gone.err
        moved = planner("catalog", "add", str(tmp_path / "y-Q8_0.gguf"), "--id", "local/x", "--force")
        assert moved.code == 0
        assert planner("fetch", "local/x").code == 0

    def test_a_part_of_a_split_model_alone_is_refused(self, planner: Planner, tmp_path: Path) -> None:
        path = tmp_path / "x-Q8_0-00001-of-00002.gguf"
        path.write_bytes(gguf_bytes(split__no=0, split__count=2))
        assert planner("catalog", "add", str(path)).code == 4

    @pytest.mark.parametrize("content", [b"", b"GGUF", b"<html>"])
    def test_what_is_no_gguf_is_refused(self, planner: Planner, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "x.gguf"
        path.write_bytes(content)
        assert planner("catalog", "add", str(path)).code == 4
        assert own_files() == {}


class TestAddresses:
    def test_a_file_on_the_web_is_read_by_ranges_and_fetched_from_there(
        self, planner: Planner, hub: LyingHub
    ) -> None:
        hub.files["web-Q8_0.gguf"] = gguf_bytes()
        address = f"http://localhost:{hub.port}/cdn/web-Q8_0.gguf"
        assert planner("catalog", "add", address, "--json").json["model"]["id"] == "local/web"
        assert all("range" in seen.headers for seen in hub.requests)
        fetched = planner("fetch", "local/web", "--json").json["artifacts"][0]
        assert fetched["bytes"] == fetched["bytes_transferred"] == len(gguf_bytes())
        requests = len(hub.requests)
        assert planner("fetch", "local/web", "--offline").code == 0
        assert len(hub.requests) == requests

    def test_another_file_in_its_place_is_noticed_once_its_hash_is_known(
        self, planner: Planner, hub: LyingHub
    ) -> None:
        hub.files["web-Q8_0.gguf"] = gguf_bytes()
        planner("catalog", "add", f"http://localhost:{hub.port}/cdn/web-Q8_0.gguf")
        path = Path(planner("fetch", "local/web").out.strip())
        path.unlink()
        changed = bytearray(gguf_bytes())
        changed[-1] ^= 1
        hub.files["web-Q8_0.gguf"] = bytes(changed)
        again = planner("fetch", "local/web")
        assert again.code == 5
        assert "sha256" in again.err
        assert not path.exists()
