"""Chat and completions: fields that go on, streams that come through, ends that are noticed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

if TYPE_CHECKING:
    from tests.serve.gateway.conftest import Stack, StartStack

KEY = "gateway-key-of-the-tests-0123456789"
USER = [{"role": "user", "content": "Hi"}]


def events_of(text: str) -> list[Any]:
    """The data of an event stream, `[DONE]` as it is."""
    data = [block.removeprefix("data: ") for block in text.split("\n\n") if block.startswith("data: ")]
    return [item if item == "[DONE]" else json.loads(item) for item in data]


def said(events: list[Any]) -> str:
    return "".join(
        choice["delta"].get("content") or "" for event in events if event != "[DONE]" for choice in event["choices"]
    )


async def test_an_answer_carries_the_models_name_and_the_engines_timings(stack: Stack) -> None:
    response = await stack.chat(model="generation")
    assert response.status_code == 200
    answer = response.json()
    assert answer["choices"][0]["message"]["content"] == "Hello there."
    assert answer["model"] == "example/tiny-chat"
    assert answer["timings"]["predicted_per_second"] == 25.25
    assert answer["usage"]["total_tokens"] == 44


async def test_only_known_fields_go_on(stack: Stack) -> None:
    known = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "seed": 7,
        "stop": ["\n"],
        "frequency_penalty": 0.1,
        "presence_penalty": -0.1,
        "repeat_penalty": 1.1,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "logprobs": True,
        "top_logprobs": 3,
        "max_tokens": 5,
    }
    dangerous = {
        "chat_parser": "x",
        "chat_format": 3,
        "n_discard": -5,
        "id_slot": 0,
        "cache_prompt": False,
        "n_keep": 2,
        "grammar": "root ::= root",
        "lora": [],
        "speculative.n_max": 1,
        "reasoning_format": "none",
        "chat_template": "{{ 7 * 7 }}",
        "user": "me",
        "store": True,
        "metadata": {},
    }
    assert (await stack.chat(**known, **dangerous, n=1, temperature_=None, logit_bias=None)).status_code == 200
    assert stack.generator.bodies("/v1/chat/completions") == [{"messages": USER, **known}]


async def test_nested_fields_are_rebuilt_from_known_parts(stack: Stack) -> None:
    messages = [
        {"role": "developer", "content": "Be brief.", "chat_parser": "x"},
        {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {}}], "name": "ann"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}", "x": 1}}],
        },
        {"role": "tool", "content": "42", "tool_call_id": "1"},
    ]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "x": 1}, "y": 2}]
    schema = {"name": "s", "schema": {"type": "object"}, "strict": True}
    body = {
        "messages": messages,
        "tools": tools,
        "tool_choice": {"type": "function", "function": {"name": "f"}, "x": 1},
        "response_format": {"type": "json_schema", "json_schema": schema, "x": 1},
        "chat_template_kwargs": {"enable_thinking": False, "messages": []},
        "stream_options": {"include_usage": True, "x": 1},
        "max_completion_tokens": 9,
        "max_tokens": 5,
        "stop": "END",
    }
    response = await stack.client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    assert stack.generator.bodies("/v1/chat/completions") == [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Hi"}], "name": "ann"},
                {
                    "role": "assistant",
                    "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}, "id": "1"}],
                },
                {"role": "tool", "content": "42", "tool_call_id": "1"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_schema", "json_schema": schema},
            "chat_template_kwargs": {"enable_thinking": False},
            "stream_options": {"include_usage": True},
            "max_tokens": 9,
            "stop": ["END"],
        }
    ]


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [*USER, {"role": "user"}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "tool_calls": [{}]}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0].function"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": 1.5}, "top_k"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"max_completion_tokens": "9"}, "max_completion_tokens"),
        ({"n": 2}, "n"),
        ({"seed": "x"}, "seed"),
        ({"stop": [1]}, "stop"),
        ({"stop": {}}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream_options": True}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"logprobs": 3}, "logprobs"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": {"word": 1}}, "logit_bias"),
        ({"logit_bias": {"5": "x"}}, "logit_bias"),
        ({"logit_bias": {"\u0663": 1}}, "logit_bias"),
        ({"logit_bias": {"9" * 30: 1}}, "logit_bias"),
        ({"repeat_last_n": -2}, "repeat_last_n"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"model": ["generation"]}, "model"),
    ],
)
async def test_wrong_fields_are_named(stack: Stack, wrong: dict[str, Any], param: str) -> None:
    response = await stack.client.post("/v1/chat/completions", json={"messages": USER, **wrong})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert stack.generator.seen == []


async def test_images_are_refused_and_not_fetched(stack: Stack) -> None:
    for part in (
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
    ):
        response = await stack.client.post(
            "/v1/chat/completions", json={"messages": [{"role": "user", "content": [part]}]}
        )
        assert response.status_code == 400
        assert response.json()["error"]["code"] == "unsupported_content"


async def test_values_no_engine_can_read_are_the_clients_mistake(stack: Stack) -> None:
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"a": deep}
    tools = [{"type": "function", "function": {"name": "f", "parameters": deep}}]
    assert (await stack.chat(tools=tools)).status_code in {200, 400}


@pytest.mark.parametrize(("given", "forwarded"), [(-1, None), (3, 3), (3.0, 3)])
async def test_token_limits_of_all_clients(stack: Stack, given: float, forwarded: int | None) -> None:
    await stack.chat(max_tokens=given)
    assert stack.generator.bodies("/v1/chat/completions")[0].get("max_tokens") == forwarded


async def test_an_over_long_conversation(stack: Stack) -> None:
    error = {"code": 400, "message": "request (3031 tokens) exceeds …", "type": "exceed_context_size_error"}
    stack.generator.fails_with = (400, {"error": {**error, "n_prompt_tokens": 3031, "n_ctx": 1024}})
    for stream in (False, True):
        response = await stack.chat(stream=stream)
        assert response.status_code == 400
        told = response.json()["error"]
        assert (told["code"], told["n_prompt_tokens"], told["n_ctx"]) == ("context_length_exceeded", 3031, 1024)
        assert told["param"] == "messages"


async def test_a_stream_is_whole(wire: Stack) -> None:
    response = await wire.chat(stream=True, stream_options={"include_usage": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = events_of(response.text)
    assert events[-1] == "[DONE]"
    assert said(events) == "Hello there."
    assert {event["model"] for event in events[:-1]} == {"example/tiny-chat"}
    assert events[-2]["usage"]["total_tokens"] == 44
    assert events[-2]["timings"]["predicted_n"] == 3


async def test_llamaindexs_llamafile_class_is_heard_and_gets_no_end_it_cannot_read(wire: Stack) -> None:
    """It nests its sampling in `options` and reads every line of a stream as JSON."""
    response = await wire.chat(stream=True, options={"temperature": 0.25, "seed": 3, "n_discard": 5}, seed=4)
    events = events_of(response.text)
    assert "[DONE]" not in events
    assert said(events) == "Hello there."
    (body,) = wire.generator.bodies("/v1/chat/completions")
    assert (body["temperature"], body["seed"]) == (0.25, 4)
    assert not {"options", "n_discard"} & set(body)
    assert (await wire.chat(options={"temperature": "hot"})).status_code == 400


async def test_events_arrive_before_the_answer_is_complete(wire: Stack) -> None:
    """The engine does not go on until the client has seen its first event: a buffer in between would hang."""
    wire.generator.gate = asyncio.Event()
    async with wire.client.stream(
        "POST", "/v1/chat/completions", json={"messages": USER, "stream": True}, timeout=10
    ) as response:
        lines = response.aiter_lines()
        first = await anext(lines)
        assert said([json.loads(first.removeprefix("data: "))]) == "Hello"
        wire.generator.gate.set()
        rest = [line async for line in lines]
    assert rest[-2 if not rest[-1] else -1] == "data: [DONE]"


async def test_a_client_that_leaves_a_stream_stops_the_engine(wire: Stack) -> None:
    wire.generator.gate = asyncio.Event()
    async with wire.client.stream(
        "POST", "/v1/chat/completions", json={"messages": USER, "stream": True}
    ) as response:
        await anext(response.aiter_lines())
    await asyncio.wait_for(wire.generator.cancelled.wait(), 10)


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/chat/completions", {"messages": USER}), ("/v1/embeddings", {"input": "x"})]
)
async def test_a_client_that_leaves_before_the_answer_stops_the_engine(
    wire: Stack, path: str, body: dict[str, Any]
) -> None:
    engine = wire.embedder if "embed" in path else wire.generator
    engine.gate = asyncio.Event()
    asking = asyncio.create_task(wire.client.post(path, json=body))
    await asyncio.wait_for(engine.started.wait(), 10)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.wait_for(engine.cancelled.wait(), 10)
    text = (await wire.client.get("/metrics")).text
    assert 'status="499"' in text
    assert "planner_gateway_in_flight 1\n" in text


@pytest.mark.parametrize("fault", ["cut", "end", "error", "garbage"])
async def test_a_stream_that_breaks_says_so(wire: Stack, fault: str) -> None:
    """To most clients a stream that merely stops is a finished answer."""
    wire.generator.stream_fault = fault
    response = await wire.chat(stream=True)
    assert response.status_code == 200
    events = events_of(response.text)
    assert said(events[:1]) == "Hello"
    assert set(events[-1]) == {"error"}
    assert events[-1]["error"]["type"] == "engine_error"
    assert "[DONE]" not in events
    assert "/opt" not in response.text
    assert 'planner_gateway_broken_streams_total{role="generation"} 1' in (await wire.client.get("/metrics")).text


async def test_a_stream_that_stalls_ends(start_wire: StartStack) -> None:
    wire = await start_wire(stall_timeout_s=0.1)
    wire.generator.gate = asyncio.Event()
    events = events_of((await wire.chat(stream=True)).text)
    assert events[-1]["error"]["code"] == "engine_timeout"
    await asyncio.wait_for(wire.generator.cancelled.wait(), 10)


async def test_a_client_that_does_not_read_gives_its_turn_to_the_next(start_wire: StartStack) -> None:
    """The engine would wait for it, and everybody else for the engine."""
    entries: list[Any] = []
    wire = await start_wire(unread_timeout_s=0.2, access_log=entries.append)
    wire.generator.words = tuple(["x" * 2**18] * 200)  # more than all buffers on the way take
    body = json.dumps({"messages": USER, "stream": True})
    head = f"Host: localhost\r\nX-Api-Key: {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", int(wire.url.rpartition(":")[2]), limit=2**10)
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\n{head}{body}".encode())
    await asyncio.wait_for(reader.readline(), 20)
    async with asyncio.timeout(20):
        while not entries:  # noqa: ASYNC110  # the log has no event
            await asyncio.sleep(0.01)
    assert (entries[0].status, entries[0].error) == (200, "client_gone")
    writer.transport.abort()
    wire.generator.words = ("free",)
    assert said(events_of((await wire.chat(stream=True)).text)) == "free"


async def test_an_answer_that_takes_too_long_is_a_504(start_wire: StartStack) -> None:
    wire = await start_wire(answer_timeout_s=0.1)
    wire.generator.gate = asyncio.Event()
    response = await wire.chat()
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "engine_timeout"


async def test_many_streams_at_once_do_not_mix(wire: Stack) -> None:
    answers = await asyncio.gather(*(wire.chat(stream=True) for _ in range(12)))
    assert {said(events_of(answer.text)) for answer in answers} == {"Hello there."}


async def test_an_engine_that_does_not_stream_is_not_believed(stack: Stack) -> None:
    stack.generator.fails_with = (200, {"choices": []})
    response = await stack.chat(stream=True)
    assert response.status_code == 502


async def test_completions(stack: Stack) -> None:
    body = {"prompt": "Once upon", "max_tokens": 3, "logprobs": 2, "suffix": "x", "echo": True}
    answer = (await stack.client.post("/v1/completions", json=body)).json()
    assert answer["choices"][0]["text"] == "Hello there."
    assert stack.generator.bodies("/v1/completions") == [{"prompt": "Once upon", "max_tokens": 3, "logprobs": 2}]
    streamed = await stack.client.post("/v1/completions", json={"prompt": ["Once"], "stream": True})
    assert events_of(streamed.text)[-1] == "[DONE]"
    for prompt in ([1, 2], ["a", "b"], [], 5, None):
        response = await stack.client.post("/v1/completions", json={"prompt": prompt})
        assert response.status_code == 400
        assert response.json()["error"]["param"] == "prompt"


async def test_legacy_completion_for_langchain(stack: Stack) -> None:
    """Its parameters as langchain_community's Llamafile sends them, nulls and all."""
    body = {
        "prompt": "Once upon",
        "temperature": 0.8,
        "seed": -1,
        "top_k": 40,
        "top_p": 0.95,
        "min_p": 0.05,
        "n_predict": -1,
        "n_keep": 0,
        "tfs_z": 1.0,
        "typical_p": 1.0,
        "repeat_penalty": 1.1,
        "repeat_last_n": 64,
        "penalize_nl": True,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "mirostat": 0,
        "mirostat_tau": 5.0,
        "mirostat_eta": 0.1,
        "stop": [],
        "id_slot": 0,
        "logit_bias": None,
    }
    answer = (await stack.client.post("/completion", json=body)).json()
    assert answer["content"] == "Hello there."
    assert answer["model"] == "example/tiny-chat"
    assert not {"generation_settings", "id_slot", "prompt"} & set(answer)
    (forwarded,) = stack.generator.bodies("/completion")
    assert not {"n_keep", "tfs_z", "penalize_nl", "id_slot", "logit_bias", "n_predict"} & set(forwarded)
    assert forwarded["repeat_last_n"] == 64


@pytest.mark.parametrize(("sent", "forwarded"), [(-1, -1), (0, 0), (64, 64), (2**31 - 1, 2**18)])
async def test_no_request_makes_an_engine_set_gigabytes_aside(stack: Stack, sent: int, forwarded: int) -> None:
    """The engine takes 4 bytes at once for every token it is to look back at (8 GiB measured)."""
    for path, body in (("/completion", {"prompt": "Once"}), ("/v1/chat/completions", {"messages": USER})):
        response = await stack.client.post(path, json={**body, "repeat_last_n": sent, "repeat_penalty": 1.1})
        assert response.status_code == 200
        assert stack.generator.bodies(path)[-1]["repeat_last_n"] == forwarded


ENDLESS: dict[str, dict[str, Any]] = {
    "values": {"enum": [f"v{n}" for n in range(1001)]},
    "values in many places": {"anyOf": [{"enum": list(range(100))} for _ in range(10)]},
    "properties": {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(1001)}},
    "alternatives": {"type": "array", "items": {"oneOf": [{"const": n} for n in range(1001)]}},
    "a pattern": {"type": "string", "pattern": "^(" + "|".join("ab" for _ in range(1100)) + ")$"},
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_a_schema_with_thousands_of_choices_is_refused(stack: Stack, name: str) -> None:
    """One of 20,000 values kept the engine for longer than six minutes, long after its client had left."""
    wanted = {"type": "json_schema", "json_schema": {"schema": ENDLESS[name]}}
    for format_ in (wanted, {"type": "json_object", "schema": ENDLESS[name]}):
        response = await stack.chat(response_format=format_)
        assert response.status_code == 400
        assert response.json()["error"]["param"].startswith("response_format.")
    function = {"name": "f", "parameters": ENDLESS[name]}
    response = await stack.chat(tools=[{"type": "function", "function": function}] * 4)
    assert response.json()["error"]["param"] == "tools"
    assert stack.generator.bodies("/v1/chat/completions") == []


async def test_a_large_honest_schema_and_many_tools_pass(stack: Stack) -> None:
    schema = {"type": "object", "properties": {f"p{n}": {"enum": ["a", "b"]} for n in range(300)}}
    assert (await stack.chat(response_format={"type": "json_object", "schema": schema})).status_code == 200
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    assert (await stack.chat(tools=[tool] * 4)).status_code == 200


async def test_legacy_completion_streams_without_done(wire: Stack) -> None:
    """Its client reads `content` of every event and stumbles over `[DONE]`."""
    body = {"prompt": "Once", "stream": True}
    events = events_of((await wire.client.post("/completion", json=body)).text)
    assert "".join(event["content"] for event in events) == "Hello there."
    assert events[-1]["stop"] is True
    assert not {"generation_settings", "id_slot"} & {name for event in events for name in event}
    wire.generator.stream_fault = "end"
    broken = events_of((await wire.client.post("/completion", json=body)).text)
    assert "error" in broken[-1]


async def test_the_embedding_models_name_does_not_chat(stack: Stack) -> None:
    response = await stack.chat(model="example/tiny-embed")
    assert response.status_code == 404


async def test_nothing_is_left_open(wire: Stack) -> None:
    """After an hour of clients coming and going the engine must not be full of idle connections."""
    for _ in range(3):
        await wire.chat()
        await wire.chat(stream=True)
    async with httpx2.AsyncClient(trust_env=False) as probe:
        assert (await probe.get(f"{wire.url}/health")).status_code == 200
