"""What a client is told when something is wrong: the OpenAI error shape, without paths and without keys."""

import re
from typing import Any

import msgspec
from starlette.responses import Response

from planner.errors import PlannerError

_KIND = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    501: "not_supported_error",
    502: "engine_error",
    503: "unavailable_error",
    504: "engine_error",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
# A slash (or drive) at the start of a word begins a path, and words with a model file's ending are ones too. Both
# begin at a word's start only: an engine may quote a long input, and each character must be looked at once.
_PATH = re.compile(
    r"""(?<![^\s'"(=:])(?:(?:file://|~|[A-Za-z]:)?[\\/][^\s'"<>|,;)]+|[^\s'"(=:]*?\.(?:gguf|llamafile)\b)"""
)


class ApiError(PlannerError):
    """An answer that is an error. It ends at the gateway's edge, as JSON.

    `status` is the HTTP status, `code` a stable word for programs, `param` the field that is wrong,
    `retry_after_s` goes into the header of that name, `counts` into the error object beside the message.
    """

    reference = "gateway"

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        retry_after_s: int | None = None,
        headers: dict[str, str] | None = None,
        counts: dict[str, int] | None = None,
    ) -> None:
        super().__init__(message, reference=code.replace("_", "-"))
        self.status = status
        self.code = code
        self.param = param
        self.counts = counts or {}
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(retry_after_s)

    def body(self) -> dict[str, Any]:
        """The error as OpenAI's clients read it: `{"error": {"message", "type", "code", "param"}}`."""
        kind = _KIND.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {
            "error": {"message": self.message, "type": kind, "code": self.code, "param": self.param, **self.counts},
        }

    def response(self) -> Response:
        """The whole HTTP answer."""
        return json_response(self.body(), status=self.status, headers=self.headers)


def json_response(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer. NaN never appears: msgspec writes it as null."""
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type="application/json")


def wrong(field: str, problem: str) -> ApiError:
    """400 for a field with a value that cannot be used; `problem` continues “'field' …”."""
    return ApiError(400, f"'{field}' {problem}.", code="invalid_value", param=field)


def too_long(*, tokens: int, limit: int, what: str, param: str, may_cut: bool = False) -> ApiError:
    """400 for input beyond what the model can take; carries both counts. `may_cut`: `truncate` would help."""
    message = (
        f"{what} has {tokens} tokens and this model takes at most {limit}. "
        + ('Split it, or send "truncate": true to have the rest left out' if may_cut else "Shorten or split it")
        + ", or start the model with a longer context if it was trained for one."
    )
    counts = {"n_prompt_tokens": tokens, "n_ctx": limit}
    return ApiError(400, message, code="context_length_exceeded", param=param, counts=counts)


def clean(text: str, *, secrets: tuple[str, ...] = (), limit: int = 400) -> str:
    """An engine's own words made fit for a client: no control characters, paths or keys, bounded length."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "(key)")
    text = _PATH.sub("(path)", _CONTROL.sub(" ", text)).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"
