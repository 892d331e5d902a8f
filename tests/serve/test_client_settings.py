"""What is copied for clients: it works in a shell and shows no key."""

import subprocess
from pathlib import Path

import msgspec

from planner.serve.client_settings import curl_calls, environment_lines, settings_text
from tests.tui.world import server


def test_a_shell_takes_the_settings_and_reads_the_key_from_its_file(tmp_path: Path) -> None:
    key = tmp_path / "it's a key"
    key.write_text("s3cret\n")
    record = msgspec.structs.replace(server(), api_key_file=str(key))
    lines = "\n".join(environment_lines(record))
    assert "s3cret" not in settings_text(record)
    shown = subprocess.run(
        ["/bin/sh", "-c", f'{lines}\nprintf "%s %s" "$OPENAI_BASE_URL" "$OPENAI_API_KEY"'],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert shown.stdout == "http://127.0.0.1:8484/v1 s3cret"


def test_there_is_a_call_for_each_role_that_runs() -> None:
    whole = server()
    assert [call[0].split()[2] for call in curl_calls(whole)] == [
        "http://127.0.0.1:8484/v1/embeddings",
        "http://127.0.0.1:8484/v1/chat/completions",
    ]
    alone = msgspec.structs.replace(whole, processes=whole.processes[:1])
    assert len(curl_calls(alone)) == 1
    assert "finder-large-v1" in settings_text(alone)
    assert "writer-1b" not in settings_text(alone)
