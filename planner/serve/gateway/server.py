"""The gateway's listening socket and its web server, inside the supervisor's event loop."""

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import Iterator

import psutil
import uvicorn
from starlette.types import ASGIApp

from planner.errors import EngineError
from planner.serve.gateway.auth import MAX_HEAD_BYTES
from planner.serve.gateway.protocol import MAX_CONNECTIONS, GatewayProtocol

LOOPBACK = "127.0.0.1"
_GRACE_S = 2


def bind_gateway(port: int, *, wanted: bool, host: str = LOOPBACK) -> socket.socket:
    """A bound socket, at loopback by default. A port nobody insisted on gives way to a free one when it is taken.

    Raises EngineError (`port-taken`, naming the holder where the system tells; `port-refused`).
    """
    try:
        return _bind(port, host)
    except OSError as error:
        taken = error.errno in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", None))
        if taken and not wanted:
            return _bind(0, host)
        if taken:
            raise EngineError(
                f"Port {port} is taken{_holder(port)}.",
                hint="Choose another with --port, or --port 0 for any free one.",
                reference="port-taken",
            ) from error
        if host != LOOPBACK and error.errno != errno.EACCES:
            raise EngineError(
                f"The gateway cannot listen at {host}: {error.strerror}.",
                hint="Give an address of this machine with --host, or 0.0.0.0 for all of them.",
                reference="host-refused",
            ) from error
        raise EngineError(
            f"Port {port} cannot be used: {error.strerror}.",
            hint="Ports below 1024 need special rights: choose another with --port.",
            reference="port-refused",
        ) from error


class GatewayServer:
    """The gateway's server: `start` it, and `stop` it whatever happens.

    With a certificate it speaks TLS. Of several servers of one `app`, one has its `lifespan`.
    """

    def __init__(
        self,
        app: ASGIApp,
        bound: socket.socket,
        *,
        certificate: str | None = None,
        private_key: str | None = None,
        lifespan: bool = True,
    ) -> None:
        self._socket = bound
        self._server = _Server(
            uvicorn.Config(
                app,
                http=GatewayProtocol,
                ws="none",
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                limit_concurrency=MAX_CONNECTIONS,
                log_config=None,
                # Below that every stranger who sends nonsense writes a line into the supervisor's log.
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,  # nobody stands before it: an address in a header is a stranger's word
                timeout_graceful_shutdown=_GRACE_S,
                timeout_keep_alive=30,
                ssl_certfile=certificate,
                ssl_keyfile=private_key,
                lifespan="auto" if lifespan else "off",
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://{LOOPBACK}:{self._socket.getsockname()[1]}"

    def start(self) -> None:
        """Answer from now on; what is not ready yet is answered with 503."""
        _allow_descriptors(2 * MAX_CONNECTIONS)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self) -> None:
        """Close the door, give open answers a moment, end."""
        self._server.leave()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._socket.close()


class _Server(uvicorn.Server):
    """Signals are the supervisor's business. It sleeps while nobody asks: uvicorn's looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._left = asyncio.Event()

    def leave(self) -> None:
        """Stop serving."""
        self.should_exit = True
        self._left.set()

    async def main_loop(self) -> None:
        """Until told to leave; the time in answers is kept by the protocol."""
        await self._left.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _allow_descriptors(wanted: int) -> None:
    """Let this process open that many, where the system's soft limit is lower and may be raised."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415  # not there on Windows

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _bind(port: int, host: str) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # The protocol by name: asyncio switches Nagle's algorithm off for sockets that say TCP only, and with it on,
    # every event of a stream waits up to 40 ms for an acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Not on Windows, where it would let two programs listen on one port.
        if hasattr(socket, "SO_REUSEPORT"):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # Listening at once settles who has the port; with SO_REUSEADDR two may bind it, but only one listens.
        bound.listen(128)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _holder(port: int) -> str:
    """“ by NAME (pid N)”, or nothing where the system does not tell."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and getattr(connection.laddr, "port", None) == port
                and connection.pid is not None
            ):
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
