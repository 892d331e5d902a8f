"""Collecting: who fails costs nobody else, nobody is waited for, and what was known is used."""

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from planner.prices.cache import Cached, read_cache, write_cache
from planner.prices.collect import DEADLINE_S, Collected
from planner.prices.job import Source
from planner.prices.keys import FILE, find_key
from planner.prices.provider import Part, Wanted
from planner.prices.registry import BRINGS, providers
from planner.prices.vast import CLASSES_MB
from tests.prices.conftest import NOW, Collect, Pauses
from tests.prices.price_server import Fault, PriceServer

HOUR = 3600.0


def source(found: Collected, name: str) -> Source:
    return next(item for item in found.sources if item.name == name)


def who(found: Collected) -> set[str]:
    return {quote.provider for quote in found.quotes}


PATHS = {"vast": "/vast", "runpod": "/graphql", "lium": "/lium", "gpuhunt": "/csv"}
EVERY = {"vast", "runpod", "lium", "aws"}
PAGE = b"<!doctype html><html><body>We are down for maintenance</body></html>"
FAULTS = {
    "too many requests": (Fault(429, body=b"API requests too frequent", always=True), "rate limit"),
    "too many requests, long pause": (Fault(429, {"Retry-After": "600"}, always=True), "rate limit"),
    "too many requests, pause until": (
        Fault(429, {"Retry-After": "Sun, 22 Nov 2099 12:00:00 GMT"}, always=True), "rate limit"),
    "closed for an hour": (Fault(503, {"Retry-After": "3600"}, always=True), "closed for a while"),
    "server error": (Fault(503, body=PAGE, always=True), "fault of its own (503)"),
    "bad gateway": (Fault(502, {"Retry-After": "nonsense"}, always=True), "fault of its own (502)"),
    "a web page": (Fault(200, body=PAGE, always=True), ""),
    "half of an answer": (Fault(200, cut=True, body=b'{"offers": [{"id": 1}', always=True), "breaks off"),
    "half a document": (Fault(200, body=b'{"offers": [{"id": 1}', always=True), ""),
    "nothing at all": (Fault(200, body=b" ", always=True), ""),
    "a list": (Fault(200, body=b"[]", always=True), "without"),
    "null": (Fault(200, body=b"null", always=True), "without"),
    "a deep nest": (Fault(200, body=b"[" * 100_000, always=True), ""),
    "not found": (Fault(404, body=b"{}", always=True), "interface may have changed"),
    "a redirect into the clear": (
        Fault(302, {"Location": "http://192.0.2.1/x"}, always=True), "direct"),
}  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_provider_that_fails_is_one_line_and_the_others_answer(
    server: PriceServer, gather: Collect, name: str, fault: str
) -> None:
    server.fail(PATHS[name], FAULTS[fault][0])
    found = gather()
    assert who(found) == EVERY - {"aws" if name == "gpuhunt" else name}
    failed = source(found, name)
    assert (failed.status, failed.age_s) == ("none", None)
    assert failed.note
    if name != "gpuhunt":  # the version's text may hold anything
        assert FAULTS[fault][1] in failed.note or (fault.endswith("clear") and "plain http" in failed.note)
    assert "\n" not in failed.note


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_interface_with_a_key_that_fails_is_one_line_and_the_one_without_stands_in(
    server: PriceServer, gather: Collect, fault: str
) -> None:
    server.fail("/v2", FAULTS[fault][0])
    found = gather(keys={"RUNPOD_API_KEY": server.key})
    assert who(found) == EVERY
    failed = source(found, "runpod-rest")
    assert (failed.status, failed.age_s) == ("none", None)
    assert failed.note
    assert FAULTS[fault][1] in failed.note or (fault.endswith("clear") and "plain http" in failed.note)
    assert {quote.tier for quote in found.quotes if quote.provider == "runpod"} == {"on-demand", "community", "spot"}


def test_a_pause_that_is_asked_for_is_made_and_then_the_answer_taken(
    server: PriceServer, gather: Collect, pauses: Pauses
) -> None:
    server.fail("/lium", Fault(429, {"Retry-After": "2"}), Fault(503))
    found = gather("lium")
    assert source(found, "lium").status == "fresh"
    assert pauses.made[0] == 2.0
    assert 0.9 <= pauses.made[1] <= 2.0  # the second pause grows, with jitter


def test_without_a_pause_that_is_asked_for_one_with_jitter_is_made(
    server: PriceServer, gather: Collect, pauses: Pauses
) -> None:
    server.fail("/graphql", Fault(429), Fault(429))
    assert source(gather("runpod"), "runpod").status == "fresh"
    first, second = pauses.made
    assert 0.5 <= first <= 1.0 <= second <= 2.0


def test_a_provider_that_limits_us_is_not_asked_again_before_the_time_it_named(
    server: PriceServer, gather: Collect
) -> None:
    server.fail("/lium", Fault(429, {"Retry-After": "600"}, always=True))
    gather("lium")
    asked = len(server.asked("/lium"))
    server.faults.clear()
    again = gather("lium", now=NOW + 300, refresh=True)
    assert len(server.asked("/lium")) == asked
    assert "asked us to wait 5 min" in source(again, "lium").note
    assert source(gather("lium", now=NOW + 601), "lium").status == "fresh"


def test_a_limit_in_the_middle_keeps_what_came_before_and_spares_the_provider(
    server: PriceServer, gather: Collect
) -> None:
    server.fail("/vast", Fault(), Fault(), Fault(), Fault(), Fault(429, {"Retry-After": "900"}, always=True))
    server.vast = [{**server.vast[0], "gpu_ram": 12000}]
    found = gather("vast")
    assert {quote.gpu_raw for quote in found.quotes} == {"RTX 4090"}
    assert source(found, "vast").status == "partial"
    assert source(found, "vast").missing == 2 * len(CLASSES_MB) - 4
    assert len(server.asked("/vast")) == 5


def test_one_that_hangs_is_left_behind_and_the_others_answer(server: PriceServer, gather: Collect) -> None:
    server.fail("/vast", Fault(hang=True, always=True))
    found = gather(deadline_s=4.0)
    assert who(found) == EVERY - {"vast"}
    assert "did not answer within 4 s" in source(found, "vast").note


def test_nobody_is_waited_for_longer_than_six_seconds() -> None:
    assert DEADLINE_S <= 6


def test_prices_of_an_hour_are_taken_from_the_cache(server: PriceServer, gather: Collect) -> None:
    first = gather()
    asked = len(server.seen)
    second = gather(now=NOW + HOUR - 1)
    # A cloud the catalog lacks is asked for anew; everything that answered is not.
    assert {seen.path.split("/")[1] for seen in server.seen[asked:]} <= {"csv"}
    assert {q.gpu_raw for q in second.quotes} == {q.gpu_raw for q in first.quotes}
    assert source(second, "vast").status == "fresh"
    assert source(second, "vast").age_s == HOUR - 1


def test_after_an_hour_they_are_asked_for_anew(server: PriceServer, gather: Collect) -> None:
    gather("lium")
    gather("lium", now=NOW + HOUR)
    assert len(server.asked("/lium")) == 2
    gather("lium", now=NOW + HOUR + 1, refresh=True)
    assert len(server.asked("/lium")) == 3


def test_old_prices_stand_in_for_a_day_when_nobody_answers(server: PriceServer, gather: Collect) -> None:
    gather("runpod")
    server.fail("/graphql", Fault(503, always=True))
    later = gather("runpod", now=NOW + 5 * HOUR)
    assert (source(later, "runpod").status, source(later, "runpod").age_s) == ("stale", 5 * HOUR)
    assert "fault of its own" in source(later, "runpod").note
    assert who(later) == {"runpod"}
    assert gather("runpod", now=NOW + 24 * HOUR).quotes == ()


def test_offline_and_without_asking_nobody_is_asked(server: PriceServer, gather: Collect) -> None:
    assert gather(offline=True).quotes == ()
    assert gather(ask=False).quotes == ()
    assert server.seen == []
    gather("lium")
    asked = len(server.seen)
    kept = gather("lium", now=NOW + 3 * HOUR, offline=True)
    assert source(kept, "lium").status == "stale"
    assert kept.quotes
    assert len(server.seen) == asked


def test_a_clock_set_back_does_not_make_prices_of_the_future(gather: Collect, server: PriceServer) -> None:
    gather("lium")
    gather("lium", now=NOW - 2 * HOUR)
    assert len(server.asked("/lium")) == 2


def test_what_is_wanted_is_asked_for_and_joins_what_is_kept(server: PriceServer, gather: Collect) -> None:
    gather("vast", wanted=Wanted(min_vram_gib=24))
    asked = len(server.asked("/vast"))
    gather("vast")
    assert len(server.asked("/vast")) == 2 * len(CLASSES_MB)  # only the classes that were missing
    assert asked < 2 * len(CLASSES_MB)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b'{"schema": 2}', b'{"schema": 1, "parts": {"all": {}}}', b"\xff\xfe", b"[" * 9999],
)
def test_a_cache_that_is_broken_or_of_another_version_counts_as_none(
    tmp_path: Path, gather: Collect, content: bytes
) -> None:
    path = tmp_path / "cache" / "prices" / "lium.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert source(gather("lium"), "lium").status == "fresh"
    assert read_cache(tmp_path / "cache", "lium").parts["all"].quotes


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are POSIX")
@pytest.mark.parametrize("what", ["pipe", "device", "folder"])
def test_a_cache_that_is_no_file_counts_as_none(tmp_path: Path, what: str) -> None:
    path = tmp_path / "prices" / "lium.json"
    path.parent.mkdir()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    assert read_cache(tmp_path, "lium") == Cached()


def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path: Path, gather: Collect) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert gather("lium").quotes


def test_the_cache_is_read_as_it_was_written(tmp_path: Path, gather: Collect) -> None:
    found = gather("vast")
    kept = read_cache(tmp_path / "cache", "vast")
    assert {quote for part in kept.parts.values() for quote in part.quotes} == set(found.quotes)
    write_cache(tmp_path / "cache", "vast", kept)
    assert read_cache(tmp_path / "cache", "vast") == kept
    files = list((tmp_path / "cache" / "prices").iterdir())
    assert [file.name for file in files] == ["vast.json"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_what_a_newer_version_kept_with_other_fields_is_not_misread(tmp_path: Path) -> None:
    path = tmp_path / "prices" / "lium.json"
    path.parent.mkdir()
    path.write_bytes(b'{"schema":1,"parts":{},"not_before":0,"new":1}')
    assert read_cache(tmp_path, "lium") == Cached()


def test_an_error_that_nobody_thought_of_is_that_providers_line(server: PriceServer, gather: Collect) -> None:
    server.lium["nodes"][0] = {"gpu_model": "X", "price_per_gpu_hour": 1, "available_gpu_count": 10**400}
    found = gather("lium", "runpod")
    assert "runpod" in who(found)
    assert source(found, "lium").note == "" or "understood" in source(found, "lium").note


# Keys

KEY = "rpa_PLANTED0123456789"


def everything_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@dataclass
class Watch:
    """Everything a run could write to."""

    capfd: pytest.CaptureFixture[str]
    caplog: pytest.LogCaptureFixture


@pytest.fixture
def watch(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Watch:
    monkeypatch.setenv("PLANNER_DEBUG", "1")
    caplog.set_level("DEBUG")
    return Watch(capfd, caplog)


def test_a_planted_key_reaches_its_provider_and_nothing_else(
    server: PriceServer, gather: Collect, tmp_path: Path, watch: Watch
) -> None:
    server.key = KEY
    echo = [{**server.rest["gpus"][0], "name": KEY, "id": f"GPU {KEY}"}]
    server.rest = {"gpus": [*server.rest["gpus"], *echo], "message": KEY}
    found = [gather(keys={"RUNPOD_API_KEY": KEY})]
    for fault in (
        Fault(500, body=KEY.encode(), always=True),
        Fault(403, {"X-Echo": KEY}, body=json.dumps({"detail": KEY}).encode(), always=True),
        Fault(302, {"Location": f"{server.url}/elsewhere"}, always=True),
        Fault(200, body=KEY.encode(), cut=True, always=True),
        Fault(429, {"Retry-After": KEY}, body=KEY.encode(), always=True),
    ):
        server.faults = {"/v2": [fault]}
        found.append(gather(keys={"RUNPOD_API_KEY": KEY}, refresh=True))
    held = {seen.path.split("?")[0] for seen in server.seen if KEY in str(seen.headers)}
    assert held == {"/v2/catalog/gpus", "/elsewhere"}  # a redirect at home keeps it, and this is home
    assert not any(KEY in seen.path or KEY.encode() in seen.body for seen in server.seen)
    assert KEY.encode() not in everything_below(tmp_path)
    assert KEY not in msgspec.json.encode(found).decode()
    out, err = watch.capfd.readouterr()
    assert KEY not in out + err + watch.caplog.text
    assert any("[key]" in quote.gpu_raw for quote in found[0].quotes)


@pytest.mark.parametrize(
    "gpu",
    [
        {"id": KEY.lower(), "availability": KEY},
        {"id": f"{'x' * 110}{KEY}"},
        {"id": "".join(f"\\u{ord(char):04x}" for char in KEY)},
        {"id": "x", "name": KEY, "memory": KEY, "price": {"secure": 1, "community": 1, KEY: KEY}},
    ],
    ids=["other case", "cut in two", "escaped", "elsewhere"],
)
def test_a_key_that_is_handed_back_in_disguise_is_not_kept(
    server: PriceServer, gather: Collect, tmp_path: Path, gpu: dict[str, Any]
) -> None:
    row = {"memory": 24, "secure": True, "community": True, "price": {"secure": 1, "community": 1}, **gpu}
    body = json.dumps({"gpus": [row]}).replace("\\\\u", "\\u").encode()
    server.fail("/v2", Fault(200, {"ETag": f'"{KEY}"'}, body=body, always=True))
    found = gather("runpod-rest", keys={"RUNPOD_API_KEY": KEY})
    assert found.quotes
    told = everything_below(tmp_path) + msgspec.json.encode(found)
    assert KEY[:9].lower().encode() not in told.lower()


@pytest.mark.parametrize("place", ["/{}", "https://{}.invalid/", "/v2/{}?key={}", "//{}:99999/"])
def test_a_key_in_the_address_of_a_redirect_is_not_told(
    server: PriceServer, gather: Collect, watch: Watch, place: str
) -> None:
    server.fail("/", Fault(302, {"Location": place.format(KEY, KEY)}, always=True))
    (source,) = gather("runpod-rest", keys={"RUNPOD_API_KEY": KEY}).sources
    assert source.note
    out, err = watch.capfd.readouterr()
    assert KEY.lower() not in (source.note + out + err).lower()


def test_a_key_does_not_follow_a_redirect_to_another_address(server: PriceServer, gather: Collect) -> None:
    other = PriceServer()
    try:
        server.fail("/v2", Fault(307, {"Location": f"{other.url}/v2/catalog/gpus"}, always=True))
        gather("runpod-rest", keys={"RUNPOD_API_KEY": server.key})
        assert other.seen
        assert all("authorization" not in seen.headers for seen in other.seen)
    finally:
        other.close()


def keys_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / FILE
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_key_comes_from_the_environment_before_the_file(tmp_path: Path) -> None:
    notes: list[str] = []
    keys_file(tmp_path, f'RUNPOD_API_KEY = "{KEY}"\n')
    name = "RUNPOD_API_KEY"
    assert find_key(name, folder=tmp_path, environ={}, note=notes.append) == KEY
    assert find_key(name, folder=tmp_path, environ={name: " other "}, note=notes.append) == "other"
    assert find_key("ANOTHER", folder=tmp_path, environ={}, note=notes.append) is None
    assert find_key(name, folder=tmp_path / "none", environ={}, note=notes.append) is None
    assert notes == []


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666, 0o604], ids=oct)
def test_a_file_of_keys_that_others_can_read_is_not_used(tmp_path: Path, mode: int) -> None:
    notes: list[str] = []
    path = keys_file(tmp_path, f'RUNPOD_API_KEY = "{KEY}"\n', mode)
    assert find_key("RUNPOD_API_KEY", folder=tmp_path, environ={}, note=notes.append) is None
    assert f"chmod 600 {path}" in notes[0]


@pytest.mark.parametrize("text", [f'RUNPOD_API_KEY = "{KEY}', f"{KEY}", f'RUNPOD_API_KEY = "{KEY} x\\n"'])
def test_a_file_of_keys_that_is_wrong_is_said_without_quoting_it(tmp_path: Path, text: str) -> None:
    notes: list[str] = []
    keys_file(tmp_path, text)
    assert find_key("RUNPOD_API_KEY", folder=tmp_path, environ={}, note=notes.append) is None
    assert notes
    assert KEY not in " ".join(notes)


# The providers as shipped


def test_the_shipped_providers_speak_https_and_are_known_to_bring_somebody() -> None:
    found = providers()
    assert {provider.name for provider in found} == set(BRINGS)
    assert all(provider.parts(Wanted()) for provider in found)
    addresses = [str(vars(provider)["_url"]) for provider in found]
    assert all(address.startswith("https://") for address in addresses)


def test_a_part_without_quotes_is_kept_as_such() -> None:
    part: Any = msgspec.json.decode(msgspec.json.encode(Part(fetched_at=1.0, quotes=())), type=Part)
    assert part == Part(fetched_at=1.0, quotes=())
