"""What is private is replaced, and what is not stays readable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.cli.doctor.private import Private, is_secret_name, private_values, proxy_host, scrub, scrub_all

ENVIRON = {
    "HOME": "/home/alice",
    "USER": "alice",
    "HOSTNAME": "walnut.fritz.example",
    "HF_TOKEN": "plain-words-as-token",
    "PLANNER_API_KEY": "s3cr3t-value",
    "HTTPS_PROXY": "http://bob:hunter22@proxy.example:3128",
    "SHORT_KEY": "1",
    "EDITOR": "vi",
}
PRIVATE = private_values(ENVIRON, home="/home/alice", user="alice", host_names=("walnut",))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/home/alice/.local/share/planner", "~/.local/share/planner"),
        ("/home/alice", "~"),
        ("/home/alice2/models", "/home/[user]/models"),
        (r"C:\Users\Bob\models", r"C:\Users\[user]\models"),
        ("/srv/alice/models and /mnt/alice_data", "/srv/[user]/models and /mnt/[user]_data"),
        ("ALICE owns it", "[user] owns it"),
        ("malice aforethought", "malice aforethought"),
        ("walnut.fritz.example and walnut", "[host] and [host]"),
        ("token plain-words-as-token here", "token **** here"),
        ("x=s3cr3t-value", "x=****"),
        ("http://bob:hunter22@proxy.example:3128/", "http://proxy.example:3128/"),
        ("https://ghost@host.example/x", "https://host.example/x"),
        ("hf_AbCdEfGhIjKlMnOp", "[key]"),
        ("sk-proj-abcdefgh12345678", "[key]"),
        ("ghp_0123456789abcdef", "[key]"),
        ("GPU-8f3c1ab2-d4e5-f607-1829-3a4b5c6d7e8f", "GPU-[key]"),
        ("key 8f3c1ab2d4e5f60718293a4b5c6d7e8f", "key [key]"),
        ("aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6", "[key]"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ****"),
        ("api_key=abcd", "api_key=****"),
        ("my_password: swordfish, next", "my_password: ****, next"),
        ("ask alice.smith+x@mail.example.org", "ask [e-mail]"),
        ("from 192.168.1.20:8080", "from [address]:8080"),
        ("at 2001:db8::1.", "at [address]."),
        ("fe80::1ff:fe23:4567:890a", "[address]"),
        ("52:54:00:12:34:56", "[address]"),
    ],
)
def test_private_things_are_replaced(text: str, clean: str) -> None:
    assert scrub(text, PRIVATE) == clean


@pytest.mark.parametrize(
    "text",
    [
        "cuda:0 at 0000:01:00.0",
        "driver 580.65.06, CUDA 13.0",
        "version 2026.10.11549",
        "http://127.0.0.1:8484/v1",
        "[::1]:8484 and 0.0.0.0",
        "devices.json (rtx-pro-6000-blackwell-max-q-workstation-edition)",
        "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf",
        "cgroup v2 memory.max",
        "2026-11-25T05:04:05Z 12:30:45",
        "sse4_2 avx512_vnni",
        "",
    ],
)
def test_what_is_not_private_stays(text: str) -> None:
    assert scrub(text, PRIVATE) == text


def test_names_that_are_words_of_the_report_stay() -> None:
    private = private_values({"USER": "root", "HOSTNAME": "nvidia"}, home="/var/root", user="planner")
    assert (private.users, private.hosts, private.homes) == ((), (), ("/var/root",))
    assert scrub(f"{private.homes[0]}/.cache of planner on nvidia", private) == "~/.cache of planner on nvidia"


def test_a_root_folder_as_home_replaces_nothing() -> None:
    assert scrub("/usr/bin", private_values({"HOME": "/"}, home="/")) == "/usr/bin"


def test_every_text_of_a_document_is_scrubbed_and_its_keys_stay() -> None:
    document = {"alice": ["/home/alice", {"n": 1, "x": None}], "ok": True, "ratio": 0.5}
    assert scrub_all(document, PRIVATE) == {"alice": ["~", {"n": 1, "x": None}], "ok": True, "ratio": 0.5}


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("http://bob:hunter22@proxy.example:3128", "proxy.example:3128"),
        ("proxy.example:80", "proxy.example:80"),
        ("bob:secret@proxy.example", "proxy.example"),
        ("socks5h://[2001:db8::1]:1080", "2001:db8::1:1080"),
        ("http://host:port", "set, and no URL"),
        ("http://", "set"),
    ],
)
def test_of_a_proxy_only_its_host_is_told(value: str, host: str) -> None:
    assert proxy_host(value) == host


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "OPENAI_API_KEY", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK"]
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)
    assert not is_secret_name("CUDA_VISIBLE_DEVICES")


@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_secret_is_never_left_whatever_stands_around_it(before: str, after: str) -> None:
    assert "s3cr3t-value" not in scrub(f"{before}s3cr3t-value{after}", PRIVATE)


@given(st.text(max_size=80))
def test_no_text_breaks_it(text: str) -> None:
    scrub(text, PRIVATE)
    scrub(text, Private())
    proxy_host(text)
