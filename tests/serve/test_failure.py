"""What an engine's death means, from real last words."""

from pathlib import Path

import pytest

from planner.serve.engine.failure import explain_exit, explain_os_error, last_words
from planner.serve.engine.redact import redact


@pytest.mark.parametrize(
    ("code", "text", "reference", "words"),
    [
        (1, "error: invalid argument: --no-mmap", "engine-flag-unknown", "does not know the argument --no-mmap"),
        (1, "couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080", "port-taken", "port 8080"),
        (1, "llama_kv_cache: failed to allocate buffer for kv cache", "out-of-memory", "ran out of memory"),
        (1, "cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory", "out-of-memory", "memory"),
        (1, "gguf_init_from_file_ptr: failed to read magic", "model-unloadable", "could not load"),
        (1, "llama_model_load: error loading model: unknown model architecture: 'x'", "model-unloadable", "newer"),
        (127, "llama-server: error while loading shared libraries: libggml.so: cannot open shared object file: "
         "No such file or directory", "engine-library-missing", "libggml.so"),
        (126, "planner: /x/llama-server: Exec format error", "engine-wrong-platform", "not a program"),
        (127, "planner: /x/llama-server: No such file or directory", "engine-not-executable", "not be executed"),
        (-9, "", "out-of-memory", "most likely because the machine ran out of memory"),
        (137, "", "out-of-memory", "ran out of memory"),
        (-4, "", "engine-wrong-cpu", "CPU instructions"),
        (132, "", "engine-wrong-cpu", "CPU instructions"),
        (-11, "", "engine-crashed", "SIGSEGV"),
        (3, "boo", "engine-failed", "exit code 3"),
        (0, "", "engine-failed", "expected to keep running"),
    ],
)  # fmt: skip
def test_every_way_to_die_has_its_own_words(code: int, text: str, reference: str, words: str) -> None:
    error = explain_exit(code, text.splitlines(), engine="llama-server")
    assert error.reference == reference
    assert words in error.message + error.hint
    assert error.hint
    assert (text == "") == ("printed nothing" in error.message)


def test_the_unknown_flag_is_told_so_that_it_can_be_left_out() -> None:
    assert explain_exit(1, ["error: invalid argument: --offline"], engine="x").flag == "--offline"
    assert explain_exit(1, ["error: something else"], engine="x").flag == ""


@pytest.mark.parametrize(
    ("error", "reference"),
    [
        (FileNotFoundError(2, "No such file"), "engine-missing"),
        (PermissionError(13, "Permission denied"), "engine-not-executable"),
        (OSError(8, "Exec format error"), "engine-wrong-platform"),
        (OSError(7, "Argument list too long"), "engine-failed"),
    ],
)
def test_a_program_that_cannot_be_started_names_the_fix(error: OSError, reference: str) -> None:
    found = explain_os_error(error, "/opt/llama-server")
    assert found.reference == reference
    assert "/opt/llama-server" in found.message
    assert found.permanent


def test_the_hint_after_a_failed_question_does_not_speak_of_a_log() -> None:
    for code, text in ((3, "boo"), (-11, ""), (-9, ""), (1, "std::bad_alloc")):
        error = explain_exit(code, text.splitlines(), engine="/opt/llama-server", asked="--version")
        assert "planner logs" not in error.hint
        assert "/opt/llama-server --version" in error.hint
    assert "planner logs" in explain_exit(3, ["boo"], engine="x").hint
    lacking = "libggml.so: cannot open shared object file"
    assert explain_exit(127, [lacking], engine="x", asked="--help").hint.startswith("Install it")


def test_a_path_that_is_not_a_program_is_said_as_what_it_is(tmp_path: Path) -> None:
    folder = explain_os_error(IsADirectoryError(21, "Is a directory"), str(tmp_path))
    assert "is a folder" in folder.message
    assert "chmod" not in folder.hint
    (tmp_path / "llama-server").write_text("#!/no/such/shell\n")
    inside = str(tmp_path / "llama-server")
    assert inside in explain_os_error(PermissionError(13, "Permission denied"), str(tmp_path)).hint
    assert explain_os_error(FileNotFoundError(2, "No such file"), inside).reference == "engine-wrong-platform"
    missing = explain_os_error(FileNotFoundError(2, "No such file"), str(tmp_path / "nothing"))
    assert "Check the path" in missing.hint


def test_last_words_prefer_errors_and_cannot_drive_a_terminal() -> None:
    lines = ["loading", "error: \x1b]0;owned\x07bad\x9b2J", "tail 1", "tail 2", "tail 3", "tail 4"]
    assert "error:" in last_words(lines)
    assert not {"\x1b", "\x07", "\x9b"} & set(last_words(lines))
    assert last_words(["a", "b", "c", "d"]) == "b / c / d"
    assert len(last_words(["error " + "x" * 10_000])) < 400


@pytest.mark.parametrize(
    "line",
    [
        "0.00.003.526 I srv  init_listene: api_keys: ****mnop",
        "init: api_keys: abcd",
        "GET / Authorization: Bearer s3cret-mnop",
        "x-api-key: s3cret-mnop",
        "key s3cret-mnop in a sentence",
    ],
)
def test_no_part_of_a_key_survives(line: str) -> None:
    shown = redact(line, ["s3cret-mnop"])
    assert "mnop" not in shown
    assert "abcd" not in shown
    assert "****" in shown


def test_other_lines_are_left_alone() -> None:
    line = "load_tensors: CPU_Mapped model buffer size = 92.10 MiB **bold**"
    assert redact(line, ["", "other"]) == line
