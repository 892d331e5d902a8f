"""Nothing secret leaves a log: what is shown to people or put into an error goes through here first."""

import re
from collections.abc import Iterable

_MASKED_KEY = re.compile(r"\*{4}[^\s,]{1,8}")
_KEY_LINE = re.compile(r"(?i)(api[_-]?keys?\s*[:=]\s*)\S.*")
_BEARER = re.compile(r"(?i)(bearer\s+|x-api-key:\s*)\S+")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without keys: the given ones, `Bearer …`, and the engine's own `api_keys: ****abcd` line.

    At verbosity 4 llama.cpp prints the last four characters of each key, and all of one shorter than five.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "****")
    text = _KEY_LINE.sub(r"\1****", text)
    text = _BEARER.sub(r"\1****", text)
    return _MASKED_KEY.sub("****", text)
