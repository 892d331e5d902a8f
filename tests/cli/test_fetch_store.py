"""`planner fetch --list`, `--remove`, `--verify`, `--gc` and consent to licences, as they are typed."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner.config import load_config
from tests.cli.hub_home import hub_for_commands
from tests.fetch.lying_hub import COMMIT, FILE, LyingHub

if TYPE_CHECKING:
    from tests.cli.conftest import Planner

DATA = b"GGUF\x03\x00\x00\x00" + hashlib.sha256(b"x").digest() * 1000


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingHub]:
    for server in hub_for_commands(tmp_path, monkeypatch):
        server.files[FILE] = DATA
        yield server


@pytest.fixture
def catalog(tmp_path: Path, hub: LyingHub) -> Callable[[str], str]:
    def write(commercial: str = "yes") -> str:
        model = {
            "id": "acme/tiny",
            "family": "llama",
            "role": "generation",
            "parameters": 1000,
            "context_length": 128,
            "licence": {"spdx": "CC-BY-NC-4.0", "commercial": commercial},
            "variants": [
                {
                    "quant": "Q4_K_M",
                    "file_bytes": len(DATA),
                    "artifacts": [{"source": "hub", "repo": "acme/tiny-GGUF", "file": FILE}],
                }
            ],
        }
        path = tmp_path / "own.json"
        path.write_text(json.dumps({"schema": 1, "family": "llama", "models": [model]}))
        return str(path)

    return write


Write = Callable[..., str]


def test_the_list_says_whose_a_file_is_and_where_it_came_from(planner: "Planner", catalog: Write) -> None:
    path = catalog()
    assert planner("fetch", "acme/tiny", "--catalog", path).code == 0
    (file,) = planner("fetch", "--list", "--catalog", path, "--json").json["artifacts"]
    assert (file["model"], file["quant"], file["revision"]) == ("acme/tiny", "Q4_K_M", COMMIT)
    assert file["origin"] == f"acme/tiny-GGUF@{COMMIT}/{FILE}"
    assert "acme/tiny:Q4_K_M" in planner("fetch", "--list", "--catalog", path).out


def test_a_model_or_a_path_can_be_removed(planner: "Planner", catalog: Write) -> None:
    path = catalog()
    for argument in ("acme/tiny:Q4_K_M", "acme/tiny", None):
        file = planner("fetch", "acme/tiny", "--catalog", path, "--json").json["artifacts"][0]
        done = planner("fetch", "--remove", argument or file["path"], "--catalog", path, "--json")
        assert (done.code, [one["path"] for one in done.json["removed"]]) == (0, [file["path"]])
        assert not Path(file["path"]).exists()
    done = planner("fetch", "--remove", "acme/tiny", "--catalog", path, "--json")
    assert (done.code, done.json["error"]["reference"]) == (3, "nothing-fetched")


def test_verify_exits_4_and_takes_the_name_of_a_wrong_file(planner: "Planner", catalog: Write) -> None:
    path = catalog()
    file = Path(planner("fetch", "acme/tiny", "--catalog", path, "--json").json["artifacts"][0]["path"])
    done = planner("fetch", "--verify", "--catalog", path, "--json")
    assert (done.code, [one["health"] for one in done.json["artifacts"]]) == (0, ["ok"])
    file.write_bytes(DATA[:-1] + b"!")
    done = planner("fetch", "--verify", "acme/tiny", "--catalog", path)
    assert done.code == 4
    assert "damaged" in done.out
    assert "fetches it again" in done.err
    assert not file.exists()


def test_gc_asks_and_without_a_terminal_wants_a_word(planner: "Planner", catalog: Write) -> None:
    path = catalog()
    file = Path(planner("fetch", "acme/tiny", "--catalog", path, "--json").json["artifacts"][0]["path"])
    assert planner("fetch", "--gc", "--catalog", path).err.strip() == "There is nothing to clear away."
    done = planner("fetch", "--gc", "--json")
    assert (done.code, done.json["error"]["reference"]) == (2, "needs-yes")
    assert file.exists()
    done = planner("fetch", "--gc", "--yes", "--json")
    assert (done.code, [one["path"] for one in done.json["removed"]]) == (0, [str(file)])
    assert not file.exists()


@pytest.mark.parametrize("extra", [("--verify",), ("--remove", "x"), ("--list",)])
def test_two_jobs_at_once_are_refused(planner: "Planner", extra: tuple[str, ...]) -> None:
    assert planner("fetch", "--gc", *extra).code == 2


@pytest.mark.parametrize("rate", ["fast", "0", "10B", "-5MB"])
def test_a_rate_that_makes_no_sense_is_refused(planner: "Planner", catalog: Write, rate: str) -> None:
    assert planner("fetch", "acme/tiny", "--catalog", catalog(), "--limit-rate", rate).code == 2


def test_a_rate_and_one_connection_still_bring_the_file(planner: "Planner", catalog: Write) -> None:
    done = planner("fetch", "acme/tiny", "--catalog", catalog(), "--limit-rate", "50MB/s", "--connections", "1")
    assert done.code == 0


def test_a_licence_without_commercial_use_is_shown_and_wants_a_word(planner: "Planner", catalog: Write) -> None:
    path = catalog("no")
    done = planner("fetch", "acme/tiny", "--catalog", path, "--json")
    assert (done.code, done.json["error"]["reference"]) == (2, "licence-unaccepted")
    assert "CC-BY-NC-4.0" in done.json["error"]["message"]
    assert "/acme/tiny" in done.json["error"]["message"]
    assert "--accept-licence" in done.json["error"]["hint"]
    done = planner("fetch", "acme/tiny", "--catalog", path, "--accept-licence")
    assert done.code == 0
    assert "CC-BY-NC-4.0" in done.err
    assert planner("fetch", "--remove", "acme/tiny", "--catalog", path).code == 0
    done = planner("fetch", "acme/tiny", "--catalog", path)
    assert (done.code, "CC-BY" in done.err) == (0, False)


def test_a_file_that_is_here_is_not_asked_about(planner: "Planner", catalog: Write) -> None:
    assert planner("fetch", "acme/tiny", "--catalog", catalog("unknown")).code == 0
    assert planner("fetch", "acme/tiny", "--catalog", catalog("no"), "--offline").code == 0
    assert not (load_config().state_dir / "licences.json").exists()


def test_a_launch_asks_before_it_downloads_anything(planner: "Planner", hub: LyingHub) -> None:
    done = planner("launch", "Qwen2.5-3B-Instruct", "--vram", "8", "--json")
    assert (done.code, done.json["error"]["reference"]) == (2, "licence-unaccepted"), done.err
    assert hub.requests == []
