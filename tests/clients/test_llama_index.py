"""LlamaIndex: the OpenAI-like classes that are recommended, and its llamafile classes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.clients.conftest import KEY, Served
from tests.serve.gateway.conftest import word_vector

pytest.importorskip("llama_index.core", reason="needs the extra `clients`")
pytestmark = pytest.mark.filterwarnings("ignore")


def close(text: str) -> Any:
    return pytest.approx(word_vector(text), abs=1e-6)


def test_the_openai_like_embeddings(served: Served) -> None:
    from llama_index.embeddings.openai_like import OpenAILikeEmbedding

    embeddings = OpenAILikeEmbedding(model_name="example/tiny-embed", api_base=served.v1, api_key=KEY)
    assert embeddings.get_text_embedding_batch(["a", "tax law"]) == [close("a"), close("tax law")]
    assert embeddings.get_query_embedding("tax law") == close("tax law")


def test_the_openai_like_model_whole_and_streamed(served: Served) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    llm = OpenAILike(
        model="example/tiny-chat", api_base=served.v1, api_key=KEY, is_chat_model=True, context_window=2048
    )
    question = [ChatMessage(role="user", content="Hi")]
    assert llm.chat(question).message.content == "Hello there."
    assert "".join(part.delta or "" for part in llm.stream_chat(question)) == "Hello there."


def test_the_llamafile_embeddings(served: Served) -> None:
    from llama_index.embeddings.llamafile import LlamafileEmbedding

    embeddings = LlamafileEmbedding(base_url=served.with_key)
    assert embeddings.get_query_embedding("tax law") == close("tax law")
    assert embeddings.get_text_embedding_batch(["a", "b"]) == [close("a"), close("b")]
    assert asyncio.run(embeddings.aget_text_embedding("a")) == close("a")


def test_the_llamafile_model_chats(served: Served) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.llamafile import Llamafile

    llm = Llamafile(base_url=served.with_key, temperature=0.25, seed=7)
    question = [ChatMessage(role="user", content="Hi")]
    assert llm.chat(question).message.content == "Hello there."
    body = served.generator.bodies("/v1/chat/completions")[0]
    assert (body["temperature"], body["seed"]) == (0.25, 7)
    assert "options" not in body


def test_the_llamafile_model_streams_chat_which_llamafile_itself_cannot_give_it(served: Served) -> None:
    """It reads `[DONE]` as JSON and dies on it, so the gateway leaves it out for this class."""
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.llamafile import Llamafile

    llm = Llamafile(base_url=served.with_key)
    parts = list(llm.stream_chat([ChatMessage(role="user", content="Hi")]))
    assert parts[-1].message.content == "Hello there."


def test_the_llamafile_model_completes_whole_and_streamed(served: Served) -> None:
    from llama_index.llms.llamafile import Llamafile

    llm = Llamafile(base_url=served.with_key)
    assert llm.complete("Hi").text == "Hello there."
    assert list(llm.stream_complete("Hi"))[-1].text == "Hello there."
