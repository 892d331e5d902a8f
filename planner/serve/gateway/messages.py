"""The chat route's structured fields: messages, tools, response format. Rebuilt from known parts, never copied."""

from collections.abc import Mapping
from typing import Any

from planner.serve.gateway.errors import ApiError, wrong
from planner.serve.gateway.fields import (
    SAMPLING,
    Check,
    boolean,
    integer,
    one_of,
    only_one,
    stream_options,
    text,
    token_limit,
)
from planner.serve.gateway.schemas import MAX_TOOL_CHOICES, check_choices

_ROLES = ("system", "developer", "user", "assistant", "tool")
_MAX_MESSAGES = 4096
_MAX_TOOLS = 256


def messages(name: str, value: Any) -> list[dict[str, Any]]:
    """The conversation; `developer` becomes `system`, which chat templates know."""
    if not isinstance(value, list) or not value:
        raise wrong(name, "must be a list of at least one message")
    if len(value) > _MAX_MESSAGES:
        raise wrong(name, f"must not have more than {_MAX_MESSAGES} messages")
    return [_message(f"{name}[{index}]", message) for index, message in enumerate(value)]


def _message(name: str, value: Any) -> dict[str, Any]:
    message = _object(name, value)
    role = one_of(*_ROLES)(f"{name}.role", message.get("role"))
    rebuilt: dict[str, Any] = {"role": "system" if role == "developer" else role}
    calls = message.get("tool_calls")
    if calls:
        if role != "assistant" or not isinstance(calls, list) or len(calls) > _MAX_TOOLS:
            raise wrong(f"{name}.tool_calls", "must be a list of calls, in an assistant's message")
        rebuilt["tool_calls"] = [_call(f"{name}.tool_calls[{index}]", call) for index, call in enumerate(calls)]
    content = message.get("content")
    if content is not None or not calls:
        rebuilt["content"] = _content(f"{name}.content", content)
    for field in ("name", "tool_call_id", "reasoning_content"):
        if message.get(field) is not None:
            rebuilt[field] = text(f"{name}.{field}", message[field])
    return rebuilt


def _content(name: str, value: Any) -> str | list[dict[str, str]]:
    """Text, or a list of text parts. Other parts could name files and addresses for the engine to open."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise wrong(name, "must be a string or a list of text parts")
    parts: list[dict[str, str]] = []
    for index, item in enumerate(value):
        part = _object(f"{name}[{index}]", item)
        if part.get("type") != "text":
            raise ApiError(
                400,
                f"'{name}[{index}]' is not a text part; the models here read text only.",
                code="unsupported_content",
                param=f"{name}[{index}].type",
            )
        parts.append({"type": "text", "text": text(f"{name}[{index}].text", part.get("text"))})
    return parts


def _call(name: str, value: Any) -> dict[str, Any]:
    call = _object(name, value)
    function = _object(f"{name}.function", call.get("function"))
    rebuilt: dict[str, Any] = {
        "type": "function",
        "function": {
            "name": text(f"{name}.function.name", function.get("name")),
            "arguments": text(f"{name}.function.arguments", function.get("arguments")),
        },
    }
    if call.get("id") is not None:
        rebuilt["id"] = text(f"{name}.id", call["id"])
    return rebuilt


def tools(name: str, value: Any) -> list[dict[str, Any]] | None:
    """Function tools; other kinds do not exist here."""
    if not isinstance(value, list) or len(value) > _MAX_TOOLS:
        raise wrong(name, f"must be a list of at most {_MAX_TOOLS} tools")
    rebuilt = [_tool(f"{name}[{index}]", tool) for index, tool in enumerate(value)]
    check_choices(name, [tool["function"].get("parameters") for tool in rebuilt], most=MAX_TOOL_CHOICES)
    return rebuilt or None


def _tool(name: str, value: Any) -> dict[str, Any]:
    tool = _object(name, value)
    one_of("function")(f"{name}.type", tool.get("type"))
    function = _object(f"{name}.function", tool.get("function"))
    rebuilt: dict[str, Any] = {"name": text(f"{name}.function.name", function.get("name"))}
    if function.get("description") is not None:
        rebuilt["description"] = text(f"{name}.function.description", function["description"])
    if function.get("parameters") is not None:
        rebuilt["parameters"] = _object(f"{name}.function.parameters", function["parameters"])
    if function.get("strict") is not None:
        rebuilt["strict"] = boolean(f"{name}.function.strict", function["strict"])
    return {"type": "function", "function": rebuilt}


def tool_choice(name: str, value: Any) -> str | dict[str, Any]:
    """`none`, `auto`, `required`, or one function by name."""
    if isinstance(value, dict):
        function = _object(f"{name}.function", value.get("function"))
        return {"type": "function", "function": {"name": text(f"{name}.function.name", function.get("name"))}}
    word: str = one_of("none", "auto", "required")(name, value)
    return word


def response_format(name: str, value: Any) -> dict[str, Any]:
    """Free text, any JSON object, or JSON that follows a schema."""
    wanted = _object(name, value)
    kind = one_of("text", "json_object", "json_schema")(f"{name}.type", wanted.get("type"))
    if kind == "text":
        return {"type": "text"}
    if kind == "json_object":
        schema = wanted.get("schema")
        return {"type": kind} if schema is None else {"type": kind, "schema": _schema(f"{name}.schema", schema)}
    holder = _object(f"{name}.json_schema", wanted.get("json_schema"))
    rebuilt: dict[str, Any] = {"schema": _schema(f"{name}.json_schema.schema", holder.get("schema"))}
    for field, check in (("name", text), ("strict", boolean)):
        if holder.get(field) is not None:
            rebuilt[field] = check(f"{name}.json_schema.{field}", holder[field])
    return {"type": kind, "json_schema": rebuilt}


def template_arguments(name: str, value: Any) -> dict[str, Any] | None:
    """Switches of chat templates. Only known ones: the rest would let a request rewrite its own template."""
    wanted = _object(name, value)
    known: dict[str, Check] = {"enable_thinking": boolean, "reasoning_effort": one_of("low", "medium", "high")}
    return {
        key: check(f"{name}.{key}", wanted[key]) for key, check in known.items() if wanted.get(key) is not None
    } or None


def _schema(name: str, value: Any) -> dict[str, Any]:
    schema = _object(name, value)
    check_choices(name, schema)
    return schema


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong(name, "must be an object")
    return value


CHAT: Mapping[str, Check] = {
    "messages": messages,
    "max_tokens": token_limit,
    "max_completion_tokens": token_limit,
    "n": only_one,
    "stream_options": stream_options,
    "tools": tools,
    "tool_choice": tool_choice,
    "parallel_tool_calls": boolean,
    "response_format": response_format,
    "logprobs": boolean,
    "top_logprobs": integer(0, 20),
    "chat_template_kwargs": template_arguments,
    "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh"),
    **SAMPLING,
}
