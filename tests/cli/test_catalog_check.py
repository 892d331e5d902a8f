"""`planner catalog check`: what it prints, and that it runs whatever is broken."""

import json
from collections.abc import Callable
from pathlib import Path

from planner.config import load_config
from tests.cli.conftest import Outcome

Planner = Callable[..., Outcome]


def own(content: str, name: str = "mine.json") -> Path:
    path = load_config().own_catalog_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_a_broken_file_of_the_users_stops_every_command_but_this(planner: Planner) -> None:
    path = own('{"schema": 1, "family": "mine", "models": [{"id": "me/tiny", "contxt_length": 5}]}')
    for command in (("models",), ("recommend", "--vram", "8"), ("estimate", "Qwen3-8B", "--vram", "8")):
        failed = planner(*command, "--json")
        assert failed.code == 4
        assert str(path) in failed.json["error"]["message"]
        assert "planner catalog check" in failed.json["error"]["hint"]
    checked = planner("catalog", "check", "--json")
    assert checked.code == 4
    (finding,) = checked.json["findings"]
    assert finding["file"] == str(path)
    assert finding["field"] == "models[0].contxt_length"
    assert "context_length" in finding["message"]
    assert planner("catalog", "check", str(path)).code == 4


def test_control_characters_of_a_file_never_reach_the_terminal(planner: Planner) -> None:
    evil = "evil\x1b[2J\x07"
    path = own(json.dumps({"schema": 1, "family": "mine", "models": [{evil: 1}]}))
    for command in (("catalog", "check"), ("catalog", "check", str(path)), ("models",)):
        outcome = planner(*command)
        assert outcome.code == 4
        assert "\x1b" not in outcome.out + outcome.err
        assert "evil" in outcome.out + outcome.err


def test_another_kind_of_file_is_checked_as_what_it_is(planner: Planner, tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    path.write_text('{"schema": 1, "as_of": "x", "sources": {}, "devices": [{"name": 5}]}')
    checked = planner("catalog", "check", str(path))
    assert checked.code == 4
    assert "devices[0]" in checked.out
    assert checked.out.endswith("1 file, 0 models, 1 finding.\n")


def test_a_clean_own_catalog_is_counted(planner: Planner) -> None:
    before = planner("catalog", "check", "--json").json
    own('{"schema": 1, "family": "mine", "models": []}')
    after = planner("catalog", "check", "--json").json
    assert len(after["files"]) == len(before["files"]) + 1
