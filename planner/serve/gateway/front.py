"""Where a deployment's gateway listens: at loopback always, and at another address only when that was asked for."""

import ipaddress
import socket
import ssl
from collections.abc import Iterator

import psutil

from planner.errors import UsageError
from planner.serve.gateway.access_log import AccessLog
from planner.serve.gateway.app import GatewayConfig, create_app
from planner.serve.gateway.context import LOOPBACK_HOSTS
from planner.serve.gateway.server import GatewayServer, bind_gateway
from planner.serve.gateway.upstream import Upstreams
from planner.serve.state import DeploymentSpec, Door, Home


class Front:
    """One gateway behind one or two sockets. `url` is for this machine, `public_url` for others (None: closed)."""

    def __init__(
        self, local: GatewayServer, public: GatewayServer | None, log: AccessLog, *, public_url: str | None
    ) -> None:
        self._local = local
        self._public = public
        self._log = log
        self.url = local.url
        self.public_url = public_url

    def start(self) -> None:
        """Answer from now on; what is not ready yet is answered with 503."""
        self._local.start()
        if self._public is not None:
            self._public.start()

    async def stop(self) -> None:
        """Close the doors, give open answers a moment, end."""
        if self._public is not None:
            await self._public.stop()
        await self._local.stop()
        self._log.close()


def open_front(home: Home, spec: DeploymentSpec, upstreams: Upstreams) -> Front:
    """Bind the sockets of a deployment's gateway. Raises EngineError for ports and hosts, UsageError for TLS files.

    With a `door.host` the wanted port is that one's, and this machine's own programs get the one before or any other.
    """
    door = spec.door
    check_tls(door)
    if door.host is None:
        bound, other = bind_gateway(spec.port, wanted=spec.port_wanted), None
    else:
        other = bind_gateway(spec.port, wanted=spec.port_wanted, host=door.host)
        bound = bind_gateway(spec.local_port, wanted=False)
    log = AccessLog(home.log("access"))
    app = create_app(
        GatewayConfig(
            api_key=home.read_key(home.gateway_key),
            upstreams=upstreams,
            known_models=frozenset(spec.known_models),
            allowed_hosts=(*LOOPBACK_HOSTS, *door.names, *_own_hosts(door)),
            named_keys=home.path / "clients.json",
            access_log=log,
        )
    )
    # One application behind both: what it opens and closes with itself is the first one's business.
    public = None
    public_url = None
    if other is not None:
        public = GatewayServer(app, other, certificate=door.certificate, private_key=door.private_key, lifespan=False)
        scheme = "https" if door.certificate else "http"
        public_url = f"{scheme}://{_shown_host(door)}:{other.getsockname()[1]}"
    return Front(GatewayServer(app, bound), public, log, public_url=public_url)


def check_tls(door: Door) -> None:
    """Whether certificate and key can be used, before anything is started. Raises UsageError."""
    if door.certificate is None and door.private_key is None:
        return
    if door.certificate is None or door.private_key is None:
        raise UsageError(
            "TLS needs both a certificate and its private key.",
            hint="Give --tls-cert FILE and --tls-key FILE.",
            reference="tls-files",
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(door.certificate, door.private_key, password=_no_word)
    except (OSError, ValueError) as error:
        what = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise UsageError(
            f"{door.certificate} and {door.private_key} cannot be used for TLS: {what}.",
            hint="Both must be PEM files that belong together, the key without a password.",
            reference="tls-files",
        ) from error


def _no_word() -> str:
    return ""


def opens(door: Door, public_url: str) -> tuple[str, ...]:
    """What a public address means for whoever started it, as sentences."""
    said = [f"The gateway is open to everybody who can reach {public_url}; the key in the key file is all they need."]
    if door.certificate is None:
        said.append(
            "Without TLS (--tls-cert, --tls-key) the key and all texts can be read on the way: use it in networks "
            "you trust."
        )
    return tuple(said)


def _own_hosts(door: Door) -> Iterator[str]:
    """What clients may call the public address: its own name, or for all addresses every one this machine has."""
    if door.host is None:
        return
    yield _bracketed(door.host)
    if _is_wildcard(door.host):
        yield from (_bracketed(address) for address in _addresses())
        yield socket.gethostname()


def _shown_host(door: Door) -> str:
    if door.names:
        return door.names[0]
    if door.host is None or not _is_wildcard(door.host):
        return _bracketed(door.host or "")
    return next((a for a in _addresses() if ":" not in a and not ipaddress.ip_address(a).is_loopback), door.host)


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _addresses() -> list[str]:
    families = (socket.AF_INET, socket.AF_INET6)
    return [
        address.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in families
    ]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
