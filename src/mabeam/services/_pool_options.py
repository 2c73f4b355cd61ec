"""How a connection pool is set: limits, timeouts, TLS, policies. Plain values, checked without a process or httpx."""

from __future__ import annotations

import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias, final
from urllib.parse import urlsplit

from mabeam.errors import UsageError
from mabeam.resilience import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("PoolOptions", "TlsOptions", "load_tls", "problems_of_pools")

File: TypeAlias = str | PathLike[str]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """Whom a pool trusts, and how it shows who it is.

    Attributes:
        verify: check the server's certificate and name. Without that anybody on the way can read and answer.
        ca_file: a PEM file with the authorities that are trusted, instead of the usual ones (those of ``certifi``).
        certificate_file: a PEM file with the client's certificate, for servers that ask for one.
        key_file: the key to it, if it is in a file of its own.
        key_password: what the key is encrypted with.

    Raises:
        UsageError: settings that cannot be right; it names all of them. Files are read when the pool is configured.
    """

    verify: bool = True
    ca_file: File | None = None
    certificate_file: File | None = None
    key_file: File | None = None
    key_password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Look for what cannot be right."""
        _refuse("TlsOptions", _problems_of_tls(self))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """A connection pool: its limits, its timeouts, and what is put around each request.

    Attributes:
        base_url: put before what is no whole URL; with it, ``request("models", "GET", "/v1")`` will do.
        headers: sent with each request.
        max_connections: most connections at once, idle ones included; over all hosts that the pool talks to.
        max_keepalive: most idle connections that are kept; as many as there may be unless given. 0 keeps none.
        keepalive_seconds: an idle connection is closed after so long.
        max_waiting: requests that may wait for a connection; more are refused with ``PoolUnavailable``. 0: nobody waits.
        http2: speak HTTP/2 with servers that do (over TLS); many requests then share a connection.
        connect_timeout: seconds for connecting, the TLS handshake included.
        read_timeout: seconds without a byte of an answer, not for the answer as a whole. ``None`` waits without limit.
        write_timeout: seconds without progress in sending. ``None`` waits without limit.
        pool_timeout: seconds that a request waits for a connection. ``None`` waits without limit.
        follow_redirects: go where a 3xx answer says.
        tls: whom it trusts.
        policy: put around each request: a :class:`Pipeline`, or any other policy. It sees an ``httpx.Response``, or the
            exception.

    Raises:
        UsageError: settings that cannot be right; it names all of them.

    Example:
        from mabeam import Pipeline, PoolOptions, Retry, TimeLimit

        options = PoolOptions(
            base_url="https://models.example",
            max_connections=20,
            policy=Pipeline(TimeLimit(30.0), Retry(attempts=3, on_result=lambda response: response.status_code == 503)),
        )
        assert options.max_waiting == 1_000
    """

    base_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets
    max_connections: int = 20
    max_keepalive: int | None = None
    keepalive_seconds: float = 15.0
    max_waiting: int = 1_000
    http2: bool = False
    connect_timeout: float = 5.0
    read_timeout: float | None = 60.0
    write_timeout: float | None = 60.0
    pool_timeout: float | None = 10.0
    follow_redirects: bool = False
    tls: TlsOptions = field(default_factory=TlsOptions)
    policy: Policy | None = None

    def __post_init__(self) -> None:
        """Look for what cannot be right; keep the headers as they are now."""
        _refuse("PoolOptions", _problems_of_pool(self))
        object.__setattr__(self, "headers", MappingProxyType(dict(self.headers)))


def problems_of_pools(pools: object) -> Iterator[str]:
    """What is wrong with pools by id."""
    if not isinstance(pools, Mapping):
        yield f"pools expects a mapping of ids to PoolOptions, got {pools!r}"
        return
    for name, options in pools.items():
        yield from problems_of_id(name)
        if not isinstance(options, PoolOptions):
            yield f"pool {name!r} expects PoolOptions(...), got {options!r}"


def problems_of_id(name: object) -> Iterator[str]:
    """What is wrong with the id of a pool."""
    if not isinstance(name, str) or not name:
        yield f"the id of a pool expects a non-empty string, got {name!r}"


def load_tls(options: TlsOptions, usual_authorities: str, *, http2: bool) -> ssl.SSLContext:
    """Read the files and make the context. Blocks.

    Raises:
        UsageError: files that cannot be read, or do not belong together; it names all of them.
    """
    problems: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        try:
            context.load_verify_locations(
                usual_authorities if options.ca_file is None else fspath(options.ca_file)
            )
        except (OSError, ssl.SSLError) as error:
            problems.append(f"ca_file expects a PEM file of certificates, got {options.ca_file!r}: {error}")
    if options.certificate_file is not None:
        key = None if options.key_file is None else fspath(options.key_file)
        try:
            # A password is always given: asked for one, OpenSSL would stop the program and wait for the keyboard.
            context.load_cert_chain(fspath(options.certificate_file), key, options.key_password or "")
        except (OSError, ssl.SSLError) as error:
            problems.append(
                f"certificate_file, key_file and key_password expect a PEM certificate and its key, got "
                f"{options.certificate_file!r} and {options.key_file!r}: {error}"
            )
    _refuse("TlsOptions", problems)
    return context


def _refuse(what: str, problems: Iterator[str] | list[str]) -> None:
    found = tuple(problems)
    if found:
        raise UsageError(f"{what}: {'; '.join(found)}", problems=found)


def _problems_of_tls(options: TlsOptions) -> Iterator[str]:
    yield from _switch("verify", options.verify)
    for name in ("ca_file", "certificate_file", "key_file"):
        value = getattr(options, name)
        if value is not None and not (isinstance(value, str | PathLike) and fspath(value)):
            yield f"{name} expects a path, got {value!r}"
    if options.verify is False and options.ca_file is not None:
        yield "ca_file has no effect with verify=False: leave verify away to trust these authorities only"
    if options.key_file is not None and options.certificate_file is None:
        yield "key_file expects certificate_file as well: a key alone shows nothing"
    if options.key_password is not None and options.certificate_file is None:
        yield "key_password expects certificate_file as well"


def _problems_of_pool(options: PoolOptions) -> Iterator[str]:
    yield from _problems_of_url(options.base_url)
    yield from _problems_of_headers(options.headers)
    yield from _whole("max_connections", options.max_connections, 1)
    if options.max_keepalive is not None:
        yield from _whole("max_keepalive", options.max_keepalive, 0)
    yield from _whole("max_waiting", options.max_waiting, 0)
    yield from _seconds("keepalive_seconds", options.keepalive_seconds)
    yield from _seconds("connect_timeout", options.connect_timeout)
    for name in ("read_timeout", "write_timeout", "pool_timeout"):
        value = getattr(options, name)
        if value is not None:
            yield from _seconds(name, value, " or None")
    yield from _switch("http2", options.http2)
    yield from _switch("follow_redirects", options.follow_redirects)
    if not isinstance(options.tls, TlsOptions):
        yield f"tls expects TlsOptions(...), got {options.tls!r}"
    if isinstance(options.policy, type):
        yield f"policy expects a policy, got the class {options.policy.__name__}; make one: {options.policy.__name__}(...)"
    elif options.policy is not None and not isinstance(options.policy, Policy):
        yield f"policy expects a Pipeline or another policy, got {options.policy!r}"


def _problems_of_url(url: object) -> Iterator[str]:
    hint = "base_url expects 'http://host[:port][/path]' or 'https://...', or nothing"
    if not isinstance(url, str):
        yield f"{hint}, got {url!r}"
        return
    if not url:
        return
    try:
        parts = urlsplit(url)
        fine = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
        )
    except ValueError as error:
        yield f"{hint}, got {url!r} ({error})"
        return
    if not fine:
        yield f"{hint}, got {url!r}"


def _problems_of_headers(headers: object) -> Iterator[str]:
    if not isinstance(headers, Mapping):
        yield f"headers expects a mapping of names to values, got {headers!r}"
        return
    for name, value in headers.items():
        if not isinstance(name, str) or not name or not isinstance(value, str):
            # The value is not shown: it may be a secret.
            yield f"headers expects strings, got {name!r} with a {type(value).__name__}"


def _whole(name: str, value: object, least: int) -> Iterator[str]:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        yield f"{name} expects a whole number >= {least}, got {value!r}"


def _seconds(name: str, value: object, also: str = "") -> Iterator[str]:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        yield f"{name} expects seconds > 0{also}, got {value!r}"


def _switch(name: str, value: object) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{name} expects True or False, got {value!r}"
