"""Settings for clients, ready to paste: what each one calls the address, the key and the models of a deployment.

A key is read from its file where the client can do that; where it cannot, the text says which file to copy it from,
unless the caller wants it shown. Which of these were run against a real gateway: docs/clients.md.
"""

import json
import shlex
from collections.abc import Callable

import msgspec

from planner.serve.client_settings import curl_calls, environment_lines
from planner.serve.state import DeploymentRecord

_TASK = "Given a web search query, retrieve relevant passages that answer the query"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A running deployment as clients see it. Lengths in tokens; None: that model does not run.

    `query_prompt` and `document_prompt` are what the embedder wants before a text; the gateway adds them for
    `input_type`, other clients have to. `key` is only there when it may be shown.
    """

    record: DeploymentRecord
    embedder: str | None = None
    embedder_context: int | None = None
    query_prompt: str = ""
    document_prompt: str = ""
    generator: str | None = None
    generator_context: int | None = None
    reranker: str | None = None
    key: str | None = None

    @property
    def base_url(self) -> str:
        """Without `/v1`."""
        return self.record.gateway_url or ""

    @property
    def key_file(self) -> str:
        """Where the key is."""
        return self.record.api_key_file

    @property
    def prompted(self) -> bool:
        """Whether queries and passages have to be told apart."""
        return bool(self.query_prompt or self.document_prompt)


def _key_in_python(target: Target) -> str:
    return repr(target.key) if target.key is not None else f"Path({target.key_file!r}).read_text().strip()"


def _key_in_shell(target: Target) -> str:
    return shlex.quote(target.key) if target.key is not None else f'"$(cat {shlex.quote(target.key_file)})"'


def _python_head(target: Target, *imports: str) -> list[str]:
    return [*(["from pathlib import Path"] if target.key is None else []), "", *imports, ""]


def _curl(target: Target) -> list[str]:
    lines: list[str] = []
    for call in curl_calls(target.record):
        lines += [*call, ""]
    return lines[:-1]


def _shell(target: Target) -> list[str]:
    if target.key is None:
        return list(environment_lines(target.record))
    return [f"export OPENAI_BASE_URL={target.base_url}/v1", f"export OPENAI_API_KEY={shlex.quote(target.key)}"]


def _openai(target: Target) -> list[str]:
    lines = [
        "# pip install openai",
        *_python_head(target, "from openai import OpenAI"),
        f'client = OpenAI(base_url="{target.base_url}/v1", api_key={_key_in_python(target)})',
    ]
    if target.embedder is not None:
        extra = ', extra_body={"input_type": "query"}' if target.prompted else ""
        lines += [
            "",
            "vectors = client.embeddings.create(",
            f'    model="{target.embedder}", input=["The cat sleeps on the sofa."]{extra}',
            ")",
            "print(len(vectors.data[0].embedding))",
        ]
    if target.generator is not None:
        lines += [
            "",
            "stream = client.chat.completions.create(",
            f'    model="{target.generator}", stream=True, max_tokens=100,',
            '    messages=[{"role": "user", "content": "Why do cats purr?"}],',
            ")",
            "for event in stream:",
            '    print(event.choices[0].delta.content or "", end="", flush=True)',
        ]
    return lines


def _langchain(target: Target) -> list[str]:
    names = [
        name
        for name, model in (("ChatOpenAI", target.generator), ("OpenAIEmbeddings", target.embedder))
        if model is not None
    ]
    lines = ["# pip install langchain-openai"]
    imports = [f"from langchain_openai import {', '.join(names)}"]
    if target.embedder is not None and target.prompted:
        imports.insert(0, "from langchain_core.embeddings import Embeddings")
    lines += [
        *_python_head(target, *imports),
        f'access = {{"base_url": "{target.base_url}/v1", "api_key": {_key_in_python(target)}}}',
    ]
    if target.generator is not None:
        lines.append(f'llm = ChatOpenAI(model="{target.generator}", **access)')
    if target.embedder is None:
        return lines
    # Without the switch it sends token ids of another tokenizer, which the gateway refuses.
    settings = f'model="{target.embedder}", check_embedding_ctx_length=False, **access'
    if not target.prompted:
        return [*lines, f"embeddings = OpenAIEmbeddings({settings})"]
    return [
        *lines,
        "",
        "",
        "class PromptedEmbeddings(Embeddings):",
        '    """Queries and passages each with the prompt this model was trained with; the gateway adds it."""',
        "",
        "    def __init__(self):",
        "        def of(kind):",
        '            extra = {"extra_body": {"input_type": kind}}',
        f"            return OpenAIEmbeddings({settings}, model_kwargs=extra)",
        "",
        '        self.queries, self.documents = of("query"), of("document")',
        "",
        "    def embed_query(self, text):",
        "        return self.queries.embed_query(text)",
        "",
        "    def embed_documents(self, texts):",
        "        return self.documents.embed_documents(texts)",
        "",
        "",
        "embeddings = PromptedEmbeddings()",
    ]


def _llamaindex(target: Target) -> list[str]:
    lines = ["# pip install llama-index-llms-openai-like llama-index-embeddings-openai-like"]
    imports = []
    if target.embedder is not None:
        imports.append("from llama_index.embeddings.openai_like import OpenAILikeEmbedding")
    if target.generator is not None:
        imports.append("from llama_index.llms.openai_like import OpenAILike")
    lines += [
        *_python_head(target, *imports),
        f'access = {{"api_base": "{target.base_url}/v1", "api_key": {_key_in_python(target)}}}',
    ]
    if target.generator is not None:
        window = f", context_window={target.generator_context}" if target.generator_context else ""
        lines.append(f'llm = OpenAILike(model="{target.generator}", is_chat_model=True{window}, **access)')
    if target.embedder is not None:
        lines.append(f'embeddings = OpenAILikeEmbedding(model_name="{target.embedder}", **access)')
        if target.prompted:
            lines += [
                "",
                "# This class has no place for prompts: put them before queries and passages yourself,",
                f"# query: {json.dumps(target.query_prompt)}  passage: {json.dumps(target.document_prompt)}",
            ]
    return lines


def _open_webui(target: Target) -> list[str]:
    key = _key_in_shell(target)
    lines = [
        "# Before the first start: later these are settings in its admin panel (Connections, Documents).",
        f"export OPENAI_API_BASE_URL={target.base_url}/v1",
        f"export OPENAI_API_KEY={key}",
        "export ENABLE_OLLAMA_API=False",
    ]
    if target.embedder is not None:
        lines += [
            "export RAG_EMBEDDING_ENGINE=openai",
            f"export RAG_OPENAI_API_BASE_URL={target.base_url}/v1",
            'export RAG_OPENAI_API_KEY="$OPENAI_API_KEY"',
            f"export RAG_EMBEDDING_MODEL={shlex.quote(target.embedder)}",
        ]
        if target.query_prompt:
            lines.append(f"export RAG_EMBEDDING_QUERY_PREFIX={shlex.quote(target.query_prompt)}")
        if target.document_prompt:
            lines.append(f"export RAG_EMBEDDING_CONTENT_PREFIX={shlex.quote(target.document_prompt)}")
    return [
        *lines,
        "open-webui serve",
        "# In a container 127.0.0.1 is the container itself: start it with --network=host, or the gateway with",
        "# --host and --allow-host host.docker.internal.",
    ]


def _continue(target: Target) -> list[str]:
    key = json.dumps(target.key) if target.key is not None else f"# copy the key here from {target.key_file}"
    lines = ["# ~/.continue/config.yaml", "name: planner", "version: 1.0.0", "schema: v1", "models:"]
    if target.generator is not None:
        lines += [
            f"  - name: {json.dumps(target.generator)}",
            "    provider: openai",
            f"    model: {json.dumps(target.generator)}",
            f"    apiBase: {target.base_url}/v1",
            f"    apiKey: {key}",
            "    roles: [chat, edit, apply]",
        ]
        if target.generator_context:
            lines += ["    defaultCompletionOptions:", f"      contextLength: {target.generator_context}"]
    if target.embedder is not None:
        lines += [
            f"  - name: {json.dumps(target.embedder)}",
            "    provider: openai",
            f"    model: {json.dumps(target.embedder)}",
            f"    apiBase: {target.base_url}/v1",
            f"    apiKey: {key}",
            "    roles: [embed]",
        ]
        if target.embedder_context:
            # It counts with a tokenizer of its own, which may be off by a factor of two.
            lines += [
                "    embedOptions:",
                f"      maxChunkSize: {max(64, target.embedder_context // 2)}",
                "      maxBatchSize: 32",
            ]
    return lines


CLIENTS: dict[str, tuple[str, Callable[[Target], list[str]]]] = {
    "curl": ("requests for a shell", _curl),
    "shell": ("environment variables that most clients read", _shell),
    "openai": ("the OpenAI package for Python", _openai),
    "langchain": ("LangChain: ChatOpenAI and OpenAIEmbeddings", _langchain),
    "llamaindex": ("LlamaIndex: OpenAILike and OpenAILikeEmbedding", _llamaindex),
    "open-webui": ("Open WebUI, chat and documents", _open_webui),
    "continue": ("Continue for VS Code and JetBrains", _continue),
}
"""Name → what it is, and its settings as lines."""


def connect_lines(client: str, target: Target) -> list[str]:
    """Settings of one of CLIENTS for a deployment."""
    return CLIENTS[client][1](target)


def filled(prompt: str) -> str:
    """A model's prompt with the usual task in it."""
    return prompt.replace("{task}", _TASK)
