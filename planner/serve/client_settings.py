"""How clients reach a running deployment: address and lines to paste. A key is read from its file, never shown."""

import json
import shlex

from planner.serve.state import DeploymentRecord


def environment_lines(record: DeploymentRecord) -> tuple[str, ...]:
    """For a shell: what OpenAI's clients, and most others, read from the environment."""
    return (
        f"export OPENAI_BASE_URL={record.gateway_url}/v1",
        f'export OPENAI_API_KEY="$(cat {shlex.quote(record.api_key_file)})"',
    )


def curl_calls(record: DeploymentRecord) -> tuple[tuple[str, str], ...]:
    """For each role a call as two lines, which works when pasted into a shell."""
    roles = {process.role for process in record.processes}
    calls: list[tuple[str, dict[str, object]]] = []
    if "embedding" in roles:
        calls.append(("/v1/embeddings", {"input": "The cat sleeps on the sofa."}))
    if "generation" in roles:
        question = [{"role": "user", "content": "Why do cats purr?"}]
        calls.append(("/v1/chat/completions", {"messages": question, "max_tokens": 100, "stream": True}))
    if "reranker" in roles:
        documents = ["Taxes are due in April.", "A cat purrs when it is content."]
        calls.append(("/v1/rerank", {"query": "cats", "documents": documents}))
    key = f'"Authorization: Bearer $(cat {shlex.quote(record.api_key_file)})"'
    return tuple(
        (
            f"curl -sN {_url_for(record, path)}{path} -H {key} -H 'Content-Type: application/json' \\",
            f"  -d {shlex.quote(json.dumps(body))}",
        )
        for path, body in calls
    )


_ROLES = {"/v1/embeddings": "embedding", "/v1/chat/completions": "generation", "/v1/rerank": "reranker"}


def _url_for(record: DeploymentRecord, path: str) -> str | None:
    """The gateway's address; without one, that of the engine which answers there."""
    if record.gateway_url is not None:
        return record.gateway_url
    return next((process.url for process in record.processes if process.role == _ROLES[path]), None)


def settings_text(record: DeploymentRecord) -> str:
    """Everything a client needs, to be copied as a whole: comments and lines for a shell."""
    lines = [f"# deployment “{record.name}”, OpenAI-compatible"]
    lines += [f"# {process.role}: {process.model} {process.variant}" for process in record.processes]
    lines += environment_lines(record)
    for call in curl_calls(record):
        lines += ["", *call]
    return "\n".join(lines) + "\n"
