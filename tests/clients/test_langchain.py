"""LangChain: the OpenAI classes that are recommended, and the llamafile classes of its community package."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import KEY, Served
from tests.serve.gateway.conftest import word_vector

pytest.importorskip("langchain_openai", reason="needs the extra `clients`")
pytestmark = pytest.mark.filterwarnings("ignore")


def close(vector: list[float]) -> Any:
    return pytest.approx(vector, abs=1e-6)


def embeddings_of(served: Served, **settings: Any) -> Any:
    from langchain_openai import OpenAIEmbeddings

    return OpenAIEmbeddings(model="example/tiny-embed", base_url=served.v1, api_key=KEY, max_retries=0, **settings)


def test_chat_whole_and_streamed(served: Served) -> None:
    from langchain_openai import ChatOpenAI

    llm = ChatOpenAI(model="example/tiny-chat", base_url=served.v1, api_key=KEY, max_retries=0)
    assert llm.invoke("Hi").content == "Hello there."
    assert "".join(str(part.content) for part in llm.stream("Hi")) == "Hello there."


def test_embeddings_need_their_token_counting_switched_off(served: Served) -> None:
    """With it they would send ids of another tokenizer; that is refused with the switch's name."""
    texts = ["the cat sleeps", "tax law"]
    embeddings = embeddings_of(served, check_embedding_ctx_length=False)
    assert embeddings.embed_documents(texts) == [close(word_vector(text)) for text in texts]
    assert embeddings.embed_query("tax law") == close(word_vector("tax law"))


def test_prompts_by_the_settings_that_planner_connect_prints(served: Served) -> None:
    extra = {"extra_body": {"input_type": "document"}}
    embeddings = embeddings_of(served, check_embedding_ctx_length=False, model_kwargs=extra)
    embeddings.embed_documents(["a"])
    assert served.embedder.bodies("/v1/embeddings")[0]["input"] == ["passage: a"]


def test_the_llamafile_embeddings(served: Served) -> None:
    from langchain_community.embeddings import LlamafileEmbeddings

    embeddings = LlamafileEmbeddings(base_url=served.with_key)
    assert embeddings.embed_query("tax law") == close(word_vector("tax law"))
    assert embeddings.embed_documents(["a", "b"]) == [close(word_vector("a")), close(word_vector("b"))]


def test_the_llamafile_model_whole_and_streamed(served: Served) -> None:
    from langchain_community.llms.llamafile import Llamafile

    llm = Llamafile(base_url=served.with_key, temperature=0.5)
    assert llm.invoke("Hi", stop=["END"]) == "Hello there."
    assert "".join(llm.stream("Hi")) == "Hello there."
    body = served.generator.bodies("/completion")[0]
    assert (body["prompt"], body["temperature"], body["stop"]) == ("Hi", 0.5, ["END"])
    assert not {"n_keep", "tfs_z", "penalize_nl"} & set(body)


def test_the_llamafile_classes_without_a_key_are_refused(served: Served) -> None:
    import requests
    from langchain_community.embeddings import LlamafileEmbeddings

    with pytest.raises(requests.HTTPError, match="401"):
        LlamafileEmbeddings(base_url=served.url).embed_query("x")
