"""The arguments baked into a llamafile: which of them somebody should know of before starting it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.gguf.arguments import warnings


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--host", "0.0.0.0"), "whole network"),  # noqa: S104  # what is warned of
        (("--host=0.0.0.0",), "whole network"),
        (("-l", "0.0.0.0:8080"), "whole network"),
        (("--host", "::"), "whole network"),
        (("--host", "example.org"), "whole network"),
        (("--host",), "whole network"),
        (("-m", "/home/me/other.gguf"), "-m /home/me/other.gguf: a path on this machine"),
        (("-m", "../other.gguf"), "outside of the file"),
        (("-m", "C:\\models\\x.gguf"), "outside of the file"),
        (("-m", "/zip/../etc/passwd"), "outside of the file"),
        (("--log-file", "~/log"), "outside of the file"),
        (("--no-mmap",), "switches off"),
        (("--unsecure",), "sandbox"),
        (("-hf", "owner/name"), "network"),
        (("--rpc", "10.0.0.1:50052"), "unprotected"),
        (("--tools", "all"), "tools"),
        (("--api-key", "secret"), "everybody"),
    ],
)
def test_what_opens_something_up_is_named(arguments: tuple[str, ...], word: str) -> None:
    (warning,) = warnings(arguments)
    assert word in warning


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("-m", "model.gguf", "-c", "0", "..."),
        ("-m", "/zip/model.gguf"),
        ("--host", "127.0.0.1", "--port", "8080"),
        ("--host", "localhost"),
        ("--host", "::1"),
        ("-l", "127.0.0.1:8080"),
        ("--host", "/tmp/engine.sock"),  # a name, nothing is made there
        ("--temp", "0.7", "--prompt", "Say hello."),
    ],
)
def test_the_usual_arguments_pass(arguments: tuple[str, ...]) -> None:
    assert warnings(arguments) == ()


def test_each_is_said_once() -> None:
    assert len(warnings(("--no-mmap", "--no-mmap", "--unsecure"))) == 2


@given(st.lists(st.text(max_size=30), max_size=8))
def test_no_argument_list_is_too_strange(arguments: list[str]) -> None:
    assert all("\n" not in text for text in warnings(arguments))
