"""The handle of a ConnectionManager: configure pools, send requests, look at counts, all of it in the caller."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, cast, final

from mabeam.errors import MissingExtra, NoSuchProcess, UsageError
from mabeam.kernel import STARTING, NoProcess, Pid, current_process, find, in_thread, name_target
from mabeam.services._pool_options import PoolOptions, problems_of_pools
from mabeam.services._pools import pools_at

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import httpx

    from mabeam.kernel import Name, Process
    from mabeam.services._pool_statistics import PoolStatistics
    from mabeam.services._pools import Pools

__all__ = ("Connections", "check_packages", "load_packages", "prepare")


@final
class Connections:
    """The handle of a ConnectionManager, made by ``ConnectionManager.at``.

    Nothing passes through the manager's process: requests run in the caller, which must be a process of the same Runtime, or
    an owned task of one.

    Every method raises ``NoSuchProcess`` when the manager is not running, ``UsageError`` when the caller is no process (a
    thread, say) or something else is in the manager's place, and, where a pool is named, ``NoSuchPool`` when there is none
    of that id.
    """

    __slots__ = ("_address",)

    def __init__(self, address: Pid | Name) -> None:
        """Made by ``ConnectionManager.at`` only."""
        self._address = address

    # ------------------------------------------------------------------------------------------- pools

    async def configure(self, id: str, options: PoolOptions) -> None:
        """Have a pool of that id; one that is there is replaced.

        Guarantees:
            From the moment this returns, requests are begun with the new settings. Those that were begun before go on with the
            old ones, within the old limits, and what they used is closed when they are done. Counts go on. Cancelled or
            failed, nothing has changed. The TLS files are read in a thread.

        Args:
            id: what it is called: any non-empty string.
            options: how it is set.

        Raises:
            UsageError: the settings, or the files they name, cannot be right; it names all problems.
            MissingExtra: HTTP/2 is asked for, and the package for it is not installed.
        """
        problems = tuple(problems_of_pools({id: options}))
        if problems:
            raise UsageError("configure: " + "; ".join(problems), problems=problems)
        self._reach(current_process())
        tls = await prepare({id: options})
        self._reach(current_process()).configure(id, options, tls[id])

    def remove(self, id: str) -> None:
        """Take a pool away.

        Guarantees:
            No request is begun with it any more. Those that were begun go on, and their connections are closed when they are
            done; idle ones are closed at once.
        """
        self._reach(current_process()).remove(id)

    def pools(self) -> dict[str, PoolOptions]:
        """How each pool is set, by id."""
        return {name: pool.options for name, pool in self._reach(current_process()).by_id().items()}

    def statistics(self, id: str) -> PoolStatistics:
        """What a pool has counted, and its connections as of now."""
        pools = self._reach(current_process())
        pool = pools.pool(id)
        return pool.statistics(pools.before(pool))

    # ------------------------------------------------------------------------------------------- requests

    async def request(self, id: str, method: str, url: str, /, **options: Any) -> httpx.Response:
        """Send a request and read the answer.

        Guarantees:
            Runs in the caller, under the policy of the pool, which sees the answer with its body. However it ends, the
            connection is given back: reused if the answer was read, closed if not. A caller that is cancelled or killed
            leaves nothing checked out. No cookies are kept between requests.

        Args:
            id: the pool.
            method: ``GET``, say.
            url: a whole one, or what comes after the pool's ``base_url``.
            **options: as for ``httpx.AsyncClient.request``: ``json``, ``content``, ``params``, ``headers``, ``timeout``, ...

        Returns:
            The answer, whatever its status.

        Raises:
            PoolUnavailable: nothing was sent: too many wait for a connection, or the manager is being stopped.
            httpx.PoolTimeout: nothing was sent: no connection came free in time.
            httpx.TransportError: no connection, a timeout, a reset.
            BaseException: what the policy raises, ``CircuitOpen`` say.
        """
        return await self._client(id).request(method, url, **options)

    def stream(
        self, id: str, method: str, url: str, /, **options: Any
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """Send a request and read the answer bit by bit: ``async with connections.stream("models", "GET", "/events") as answer:``.

        Guarantees:
            As :meth:`request`, but the policy sees the head of the answer only (all of it, if it is a short error). The
            connection is in use until the block is left.

        Args:
            id: the pool.
            method: ``GET``, say.
            url: a whole one, or what comes after the pool's ``base_url``.
            **options: as for ``httpx.AsyncClient.stream``.

        Returns:
            A block whose value is the answer; entering it raises as :meth:`request` does.
        """
        return self._client(id).stream(method, url, **options)

    def client(self, id: str, **options: Any) -> httpx.AsyncClient:
        """An ``httpx.AsyncClient`` for libraries that take one: ``AsyncOpenAI(http_client=connections.client("models"))``.

        Guarantees:
            Its requests go through the pool that has the id when they are made, with its limits, policy and counts; base
            URL, headers and timeouts are those that the pool has now. Closing it leaves the pool open. Each has its own cookies.

        Args:
            id: the pool.
            **options: as for ``httpx.AsyncClient``, in place of the pool's settings: ``auth``, ``base_url``, ...

        Returns:
            The client, to be used by processes of this Runtime.
        """
        wrong = sorted(
            {"transport", "mounts", "proxy", "verify", "cert", "limits", "http1", "http2", "trust_env"}
            & {*options}
        )
        if wrong:
            raise UsageError(
                f"client() of pool {id!r} expects settings of the client, got {', '.join(wrong)}, which the pool decides: see PoolOptions"
            )
        return self._client(id, keeps_cookies=True, **options)

    # ------------------------------------------------------------------------------------------- addressing

    def address(self) -> Pid | Name:
        """The name or the pid that it was made for; so it can be linked, monitored and the like."""
        return self._address

    def _client(self, id: str, *, keeps_cookies: bool = False, **options: Any) -> httpx.AsyncClient:
        pool = self._reach(current_process()).pool(id)
        # Loaded when the manager started.
        make: Any = importlib.import_module("mabeam.services._pool_client").make_client
        if keeps_cookies:
            return cast(
                "httpx.AsyncClient", make(self._reach, id, pool.options, keeps_cookies=True, **options)
            )
        if pool.client is None:
            pool.client = make(
                pools_of_manager(self._reach(current_process())), id, pool.options, keeps_cookies=False
            )
        return cast("httpx.AsyncClient", pool.client)

    def _reach(self, process: Process) -> Pools:
        """The pools, for a process that asks."""
        pools = pools_at(process.kernel, self._address)
        if pools is not None:
            return pools
        there = find(process.kernel, self._address)
        if there is None or not there.is_alive or there.status & STARTING:
            raise NoSuchProcess(
                name_target(self._address),
                NoProcess(),
                operation="call",
                instead=f"the ConnectionManager {name_target(self._address)} is not running.",
                hint="Start it before those who use it: ConnectionManager.child_spec(...).named('connections').",
            )
        if there.kernel is not process.kernel:
            raise UsageError(
                f"{there.describe()} lives in another Runtime; a ConnectionManager is for the processes of its own"
            )
        raise UsageError(
            f"expected a ConnectionManager at {self._address!r}, and there is {there.describe()}"
        )

    def __eq__(self, other: object) -> bool:
        """Equal when made for the same name or the same process."""
        return isinstance(other, Connections) and self._address == other._address

    def __hash__(self) -> int:
        """Hash by address."""
        return hash(self._address)

    def __repr__(self) -> str:
        """Show where it leads."""
        return f"<connections {self._address!r}>"


def pools_of_manager(pools: Pools) -> Any:
    """Finds these pools for whoever asks: for a client that lives as long as they do."""
    return lambda _process: pools


def check_packages(pools: dict[str, PoolOptions]) -> None:
    """Refuse HTTP/2 where it cannot be spoken.

    Raises:
        MissingExtra: the package is not there.
    """
    for name, options in pools.items():
        if options.http2:
            _import("h2", f"http2=True of pool {name!r}")


def load_packages() -> None:
    """Import httpx and what stands on it; it takes so long that a thread does it.

    Raises:
        MissingExtra: it is not installed.
    """
    for package in ("httpx", "httpcore", "certifi"):
        _import(package, "ConnectionManager")
    importlib.import_module("mabeam.services._pool_client")
    importlib.import_module("mabeam.services._pool")


async def prepare(pools: dict[str, PoolOptions]) -> dict[str, Any]:
    """Check packages and read the files of pools; the TLS context of each, ``None`` where it is made when it is first needed.

    Raises:
        UsageError: files that cannot be used; it names all problems.
        MissingExtra: a package is not there.
    """
    await in_thread(load_packages)
    await in_thread(check_packages, pools)
    from mabeam.services._pool import usual_tls  # noqa: PLC0415 - loads httpx

    found: dict[str, Any] = {}
    problems: list[str] = []
    plain = PoolOptions().tls
    for name, options in pools.items():
        found[name] = None
        if options.base_url.startswith("https:") or options.tls != plain:
            try:
                found[name] = await usual_tls(options)
            except UsageError as error:
                problems += [f"pool {name!r}: {problem}" for problem in error.problems]
    if problems:
        raise UsageError("; ".join(problems), problems=problems)
    return found


def _import(package: str, what: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise MissingExtra(what, package, "http") from error
