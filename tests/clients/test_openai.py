"""OpenAI's own package, as it comes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.clients.conftest import KEY, Served
from tests.serve.gateway.conftest import word_vector

openai = pytest.importorskip("openai", reason="needs the extra `clients`")
pytestmark = pytest.mark.filterwarnings("ignore")


def client_of(served: Served, **settings: Any) -> Any:
    return openai.OpenAI(base_url=served.v1, api_key=KEY, max_retries=0, **settings)


def test_vectors_come_as_numbers_though_it_asks_for_base64(served: Served) -> None:
    texts = ["the cat sleeps", "tax law"]
    answer = client_of(served).embeddings.create(model="example/tiny-embed", input=texts)
    assert [item.embedding for item in answer.data] == [pytest.approx(word_vector(text), abs=1e-6) for text in texts]
    assert answer.usage.prompt_tokens == 9


def test_prompts_and_cutting_go_as_extra_fields(served: Served) -> None:
    answer = client_of(served).embeddings.create(
        model="embedding", input=["x " * 600], extra_body={"input_type": "document", "truncate": True}
    )
    assert answer.truncated == [0]
    assert len(served.embedder.bodies("/v1/embeddings")[0]["input"][0]) == 512


def test_an_answer_and_its_stream(served: Served) -> None:
    client = client_of(served)
    question: list[Any] = [{"role": "user", "content": "Hi"}]
    whole = client.chat.completions.create(model="example/tiny-chat", messages=question, max_completion_tokens=9)
    assert whole.choices[0].message.content == "Hello there."
    stream = client.chat.completions.create(
        model="generation", messages=question, stream=True, stream_options={"include_usage": True}
    )
    events = list(stream)
    assert "".join(event.choices[0].delta.content or "" for event in events if event.choices) == "Hello there."
    assert events[-1].usage.total_tokens == 44


def test_the_older_completions(served: Served) -> None:
    answer = client_of(served).completions.create(model="generation", prompt="Hi", max_tokens=3)
    assert answer.choices[0].text == "Hello there."


def test_models_and_request_ids(served: Served) -> None:
    client = client_of(served)
    assert [model.id for model in client.models.list()] == ["example/tiny-embed", "example/tiny-chat"]
    assert client.models.retrieve("generation").id == "example/tiny-chat"
    answer = client.embeddings.create(model="embedding", input="x")
    assert answer._request_id.startswith("req-")


def test_mistakes_arrive_as_its_own_exceptions(served: Served) -> None:
    client = client_of(served)
    with pytest.raises(openai.BadRequestError) as wrong:
        client.embeddings.create(model="embedding", input="x " * 600)
    assert (wrong.value.code, wrong.value.param) == ("context_length_exceeded", "input")
    with pytest.raises(openai.BadRequestError, match="token ids"):
        client.embeddings.create(model="embedding", input=[1, 2, 3])
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="example/tiny-chat", input="x")
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=served.v1, api_key="wrong", max_retries=0).models.list()


def test_many_at_once(served: Served) -> None:
    async def ask() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=served.v1, api_key=KEY, max_retries=0) as client:
            calls = [client.embeddings.create(model="embedding", input=f"text {n}") for n in range(40)]
            return [answer.data[0].embedding for answer in await asyncio.gather(*calls)]

    vectors = asyncio.run(ask())
    assert vectors == [pytest.approx(word_vector(f"text {n}"), abs=1e-6) for n in range(40)]


def test_functions_can_be_offered(served: Served) -> None:
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    client_of(served).chat.completions.create(
        model="generation", messages=[{"role": "user", "content": "Hi"}], tools=[tool], tool_choice="auto"
    )
    assert served.generator.bodies("/v1/chat/completions")[0]["tools"] == [tool]
