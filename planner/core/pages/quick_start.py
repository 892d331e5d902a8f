"""Commands that run a model with our server, made to be pasted."""

import json
import shlex

import msgspec

from planner.core.models.model import Model, Role

KEY_FILE = "KEY_FILE"
"""Stands for the file with the API key, which `launch` and `status` name."""
_URL = "http://127.0.0.1:8484"


class Step(msgspec.Struct, frozen=True):
    """A command and what it does. The parts of a long one go on lines of their own."""

    parts: tuple[str, ...]
    does: str

    @property
    def command(self) -> str:
        """The command on one line."""
        return " ".join(self.parts)


def quick_start(model: Model, quant: str | None, *, name: str) -> tuple[Step, ...]:
    """How to run a model alone, in a pair, and how to call it; empty for a model that cannot be run.

    `name` is what the command line takes for the model, `quant` None lets it choose.
    """
    if not model.deployable:
        return ()
    reference = shlex.quote(name if quant is None else f"{name}:{quant}")
    steps = [
        Step((f"planner launch {reference} --detach",), f"fetch, start and check it; names the {KEY_FILE} of below")
    ]
    match model.role:
        case Role.EMBEDDING:
            steps.append(Step((f"planner up {reference}",), "or: with the best generator for this machine"))
        case Role.GENERATION:
            steps.append(Step((f"planner up {reference}",), "or: with the best embedder for this machine"))
        case Role.RERANKER:
            pass
    return (*steps, *_calls(model))


def _calls(model: Model) -> tuple[Step, ...]:
    match model.role:
        case Role.EMBEDDING:
            query, document = bool(model.prompts.query), bool(model.prompts.document)
            if not query and not document:
                return (_call("/v1/embeddings", {"input": "Why do cats purr?"}, "a vector"),)
            steps = [
                _call(
                    "/v1/embeddings",
                    {"input": "Why do cats purr?", "input_type": "query"},
                    "a question" + (", with the prompt for it" if query else "; no prompt is put before it"),
                ),
                _call(
                    "/v1/embeddings",
                    {"input": "A cat purrs when it is content.", "input_type": "document"},
                    "a text to be found"
                    + (", with the prompt for it" if document else "; no prompt is put before it"),
                ),
            ]
            return tuple(steps)
        case Role.GENERATION:
            question = [{"role": "user", "content": "Why do cats purr?"}]
            body = {"messages": question, "max_tokens": 100, "stream": True}
            return (_call("/v1/chat/completions", body, "an answer, token by token"),)
        case Role.RERANKER:
            documents = ["Taxes are due in April.", "A cat purrs when it is content."]
            return (_call("/v1/rerank", {"query": "cats", "documents": documents}, "a score for every document"),)


def _call(path: str, body: dict[str, object], does: str) -> Step:
    return Step(
        (
            f"curl -sN {_URL}{path}",
            f'-H "Authorization: Bearer $(cat {KEY_FILE})"',
            "-H 'Content-Type: application/json'",
            f"-d {shlex.quote(json.dumps(body))}",
        ),
        does,
    )
