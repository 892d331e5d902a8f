"""Who goes away takes the work for it along, and nothing else."""

import asyncio

import pytest

from planner.serve.gateway.limits import ClientGoneError, unless_gone


class Client:
    """Stays until `leaves` is set."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self.is_watched = False

    async def receive(self) -> dict[str, str]:
        self.is_watched = True
        try:
            await self.leaves.wait()
        finally:
            self.is_watched = False
        return {"type": "http.disconnect"}


async def test_work_that_ends_first_is_its_result_and_nobody_watches_any_more() -> None:
    client = Client()

    async def work() -> int:
        await asyncio.sleep(0.01)
        assert client.is_watched
        return 7

    assert await unless_gone(client.receive, work()) == 7
    await asyncio.sleep(0)
    assert not client.is_watched


async def test_a_client_that_goes_ends_the_work_and_the_task_goes_on() -> None:
    client, ended = Client(), False

    async def work() -> None:
        nonlocal ended
        client.leaves.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended = True

    with pytest.raises(ClientGoneError):
        await unless_gone(client.receive, work())
    task = asyncio.current_task()
    assert task is not None
    assert (ended, task.cancelling()) == (True, 0)
    await asyncio.sleep(0)  # would raise if a cancellation were left


async def test_a_client_that_goes_while_there_is_a_deadline_is_gone_not_late() -> None:
    client = Client()

    async def work() -> None:
        async with asyncio.timeout(60):
            client.leaves.set()
            await asyncio.sleep(60)

    with pytest.raises(ClientGoneError):
        await unless_gone(client.receive, work())


async def test_a_deadline_is_a_deadline() -> None:
    async def work() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await unless_gone(Client().receive, work())


async def test_a_task_that_is_cancelled_from_outside_ends() -> None:
    client = Client()
    task = asyncio.create_task(unless_gone(client.receive, asyncio.sleep(60)))
    await asyncio.sleep(0.01)
    client.leaves.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_does_not_end_when_told_is_not_an_answer_to_a_client_that_has_gone() -> None:
    client = Client()

    async def stubborn() -> int:
        client.leaves.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return 1
        return 2

    with pytest.raises(ClientGoneError):
        await unless_gone(client.receive, stubborn())
