"""A gateway for clients that block: it runs in a thread, in front of the fake engines of the gateway's own tests.

These tests need the packages of the extra `clients` and are skipped without them; tools/check.sh runs them in an
environment of their own, so that nobody else has to install four hundred megabytes.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from planner.core.models.model import Role
from planner.serve.gateway.app import create_app
from planner.serve.gateway.context import GatewayConfig
from planner.serve.gateway.upstream import Upstreams
from tests.serve.gateway.conftest import EMBEDDER, GENERATOR, FakeEngine, run_server, upstream_for

KEY = "gateway-key-of-the-tests-0123456789"


@dataclass
class Served:
    """The gateway, and what its engines have seen."""

    url: str
    embedder: FakeEngine
    generator: FakeEngine

    @property
    def v1(self) -> str:
        """For OpenAI's clients."""
        return f"{self.url}/v1"

    @property
    def with_key(self) -> str:
        """For clients that can be given an address and nothing else."""
        return self.url.replace("http://", f"http://planner:{KEY}@")


@pytest.fixture
def served() -> Iterator[Served]:
    """A gateway in front of an embedder and a generator."""
    started: list[Served] = []
    ready, end = threading.Event(), threading.Event()

    async def serve() -> None:
        async with AsyncExitStack() as exits:
            servers: list[Any] = []
            engines = [FakeEngine("embedding", ubatch=512), FakeEngine("generation")]
            upstreams = Upstreams()
            for engine, model in zip(engines, (EMBEDDER, GENERATOR), strict=True):
                engine.url = await exits.enter_async_context(run_server(engine.app(), servers))
                upstreams.set(upstream_for(engine, model, context=512, batch=512))
            assert upstreams.get(Role.EMBEDDING) is not None
            app = create_app(GatewayConfig(api_key=KEY, upstreams=upstreams))
            url = await exits.enter_async_context(run_server(app, servers))
            started.append(Served(url, *engines))
            ready.set()
            while not end.is_set():  # noqa: ASYNC110  # the other thread has no event of ours
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(20)
    yield started[0]
    end.set()
    thread.join(20)
