"""ConnectionManager: what it is asked, what it answers, and how it is started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mabeam import (
    MissingExtra,
    NoSuchPool,
    NoSuchProcess,
    ProcessDied,
    Registry,
    Runtime,
    StartFailed,
    Supervisor,
    UsageError,
    get_state,
    handle_call,
    kill,
)
from mabeam.otp import GenServer
from mabeam.services import ConnectionManager, Connections, PoolOptions, TlsOptions
from mabeam.testing import wait_until_idle
from tests.services._http import site
from tests.services._http_scenes import balanced, connections, scene

pytestmark = pytest.mark.real_time


async def test_a_request_is_answered_and_counted() -> None:
    """Whatever the status; the connection is used again."""
    async with scene() as (there, them):
        for _ in range(3):
            answer = await them.request("it", "GET", "/ok")
            assert (answer.status_code, answer.text) == (200, "hello")
            assert answer.elapsed.total_seconds() > 0
        there.failures = 1
        assert (await them.request("it", "POST", "/flaky", json={"a": 1})).status_code == 503
        now = them.statistics("it")
        assert (now.requests, now.attempts, now.completed, now.failures) == (4, 4, 4, 0)
        assert (now.connections, now.idle, now.in_use, now.opened) == (1, 1, 0, 1)
        assert there.accepted == 1
        assert there.bodies[-1] == b'{"a":1}'


async def test_the_bytes_are_those_on_the_wire() -> None:
    """Heads and bodies, also of connections that are closed."""
    async with scene() as (there, them):
        await them.request("it", "POST", "/close", content=b"123")
        now = them.statistics("it")
        sent = sum(len(head) for head in there.heads) + 3
        assert now.sent_bytes == sent
        assert now.received_bytes == len(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbye"
        )
        assert now.connections == 0


async def test_an_unknown_id_is_told_with_those_there_are() -> None:
    """By each method that takes one."""
    async with scene() as (_, them):
        for ask in (them.statistics, them.remove, them.client, lambda name: them.stream(name, "GET", "/")):
            with pytest.raises(NoSuchPool, match="there are 'it'"):
                ask("other")
        with pytest.raises(NoSuchPool) as caught:
            await them.request("other", "GET", "/")
        assert (caught.value.pool, caught.value.pools) == ("other", ("it",))


async def test_all_that_is_wrong_with_a_pool_is_told_at_once() -> None:
    """Before anything is started; no secret is shown."""
    with pytest.raises(UsageError) as caught:
        PoolOptions(
            base_url="ftp://x",
            headers={"authorization": 5},  # type: ignore[dict-item]  # wrong on purpose
            max_connections=0,
            max_keepalive=-1,
            keepalive_seconds=0,
            max_waiting=True,
            http2="yes",  # type: ignore[arg-type]  # wrong on purpose
            connect_timeout=0,
            read_timeout=float("inf"),
            write_timeout=-1,
            pool_timeout="long",  # type: ignore[arg-type]  # wrong on purpose
            follow_redirects=1,  # type: ignore[arg-type]  # wrong on purpose
            tls={"verify": False},  # type: ignore[arg-type]  # wrong on purpose
            policy=object(),  # type: ignore[arg-type]  # wrong on purpose
        )
    assert len(caught.value.problems) == 14
    assert "secret" not in repr(PoolOptions(headers={"authorization": "secret"}))
    for url in ("http://", "http://h:x", "h", 5):
        with pytest.raises(UsageError, match="base_url"):
            PoolOptions(base_url=url)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(UsageError, match="headers expects a mapping"):
        PoolOptions(headers=["a"])  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(UsageError, match="make one: Registry"):
        PoolOptions(policy=Registry)  # type: ignore[arg-type]  # wrong on purpose


async def test_all_that_is_wrong_with_tls_is_told_at_once() -> None:
    """Without looking at files."""
    with pytest.raises(UsageError) as caught:
        TlsOptions(verify=1, ca_file="", key_file="k", key_password="p")  # type: ignore[arg-type]  # wrong on purpose
    assert len(caught.value.problems) == 4
    with pytest.raises(UsageError, match="no effect"):
        TlsOptions(verify=False, ca_file="ca.pem")


async def test_files_that_cannot_be_used_are_told_when_the_pool_is_configured(tmp_path: object) -> None:
    """All of them; nothing has changed."""
    tls = TlsOptions(ca_file=f"{tmp_path}/none", certificate_file=f"{tmp_path}/neither")
    async with connections() as them:
        with pytest.raises(UsageError) as caught:
            await them.configure("it", PoolOptions(tls=tls))
        assert len(caught.value.problems) == 2
        assert them.pools() == {}
    with pytest.raises(StartFailed) as failed:
        await ConnectionManager.child_spec(
            pools={"a": PoolOptions(tls=tls), "b": PoolOptions(tls=tls)}
        ).start()
    assert len(failed.value.__cause__.problems) == 4  # type: ignore[union-attr]  # a UsageError


async def test_what_is_wrong_with_a_spec_is_told_before_it_starts() -> None:
    """By whoever is given it."""
    spec = ConnectionManager.child_spec(pools={"": 5}, drain_seconds=-1)  # type: ignore[dict-item]  # wrong on purpose
    with pytest.raises(UsageError) as caught:
        await Supervisor.start_link([spec], strategy="one_for_one")
    assert len(caught.value.problems) == 3
    assert len(ConnectionManager.child_spec(pools=[]).check()) == 1  # type: ignore[arg-type]  # wrong on purpose
    async with connections() as them:
        with pytest.raises(UsageError, match="expects PoolOptions"):
            await them.configure("it", {"size": 5})  # type: ignore[arg-type]  # wrong on purpose


async def test_the_child_id_follows_the_name_so_that_ten_run_under_one_supervisor() -> None:
    """Each honours its name, in each of its operations."""
    async with site() as there:
        options = PoolOptions(base_url=there.url)
        top = await Supervisor.start_link(
            [ConnectionManager.child_spec(pools={"it": options}).named(f"c{number}") for number in range(10)],
            strategy="one_for_one",
        )
        assert {child.id for child in await top.call(Supervisor.which_children)} == {
            f"c{n}" for n in range(10)
        }
        them = [ConnectionManager.at(f"c{number}") for number in range(10)]
        for number, each in enumerate(them):
            for _ in range(number):
                await each.request("it", "GET", "/ok")
        assert [each.statistics("it").requests for each in them] == list(range(10))
        them[3].remove("it")
        await them[4].configure("more", options)
        assert [len(each.pools()) for each in them] == [1, 1, 1, 0, 2, 1, 1, 1, 1, 1]
        await top.stop()


async def test_two_without_a_name_are_refused_by_their_supervisor() -> None:
    """They would have the same id."""
    with pytest.raises(UsageError):
        await Supervisor.start_link(
            [ConnectionManager.child_spec(), ConnectionManager.child_spec()], strategy="one_for_one"
        )


async def test_after_a_kill_the_supervisor_starts_another_with_the_pools_of_the_spec() -> None:
    """All sockets of the killed one are closed; clients that were made before go on."""
    async with site() as there:
        spec = ConnectionManager.child_spec(pools={"it": PoolOptions(base_url=there.url)}).named("c")
        top = await Supervisor.start_link([spec], strategy="one_for_one")
        them = ConnectionManager.at("c")
        client = them.client("it")
        assert (await client.get("/ok")).text == "hello"
        kill("c")
        await there.until(lambda: there.open == 0)
        await wait_until_idle()
        while not _serves(them):
            await wait_until_idle()
        assert (await client.get("/ok")).text == "hello"
        assert them.statistics("it").requests == 1
        await top.stop()


def _serves(them: Connections) -> bool:
    try:
        return bool(them.pools())
    except NoSuchProcess:
        return False


async def test_requests_need_a_manager_that_runs() -> None:
    """Or are told how to start one; what is no manager is told as well."""
    them = ConnectionManager.at("nobody")
    with pytest.raises(NoSuchProcess, match="Start it before those who use it"):
        await them.request("it", "GET", "/")

    class Other(GenServer):
        pass

    other = await Other.start_link()
    with pytest.raises(UsageError, match="expected a ConnectionManager at"):
        ConnectionManager.at(other).pools()
    with pytest.raises(UsageError, match="at expects the name"):
        ConnectionManager.at(5)  # type: ignore[arg-type]  # wrong on purpose


async def test_the_manager_of_another_runtime_is_refused() -> None:
    """Its connections belong to that one's loop and processes."""
    async with scene() as (_, them), Runtime():
        with pytest.raises(UsageError, match="another Runtime"):
            await them.request("it", "GET", "/")


async def test_handles_are_values() -> None:
    """Equal when made for the same."""
    assert ConnectionManager.at("c") == ConnectionManager.at("c")
    assert len({ConnectionManager.at("c"), ConnectionManager.at("c"), ConnectionManager.at("d")}) == 2
    assert repr(ConnectionManager.at("c")) == "<connections 'c'>"
    assert ConnectionManager.at("c").address() == "c"


async def test_it_is_shown_with_its_pools() -> None:
    """What is used, what is idle, what waits."""
    async with site() as there:
        options = PoolOptions(base_url=there.url, max_connections=7)
        manager = await ConnectionManager.child_spec(pools={"it": options}).start_link()
        await ConnectionManager.at(manager).request("it", "GET", "/ok")
        state = await get_state(manager)
        await manager.stop()
        assert repr(state) == "<ConnectionManager <Pool 'it' 0 in use, 0 idle of 7, 0 waiting>>"


async def test_a_process_that_is_linked_with_it_does_not_end_it() -> None:
    """It traps exits, and takes no heed of them."""

    class Linked(GenServer):
        def __init__(self, to: Connections) -> None:
            from mabeam import link

            link(to)

        @handle_call
        def crash(self) -> None:
            raise ValueError

    async with scene() as (_, them):
        linked = await Linked.child_spec(them).start()
        with pytest.raises(ProcessDied):
            await linked.call(Linked.crash)
        await wait_until_idle()
        assert (await them.request("it", "GET", "/ok")).text == "hello"
        assert balanced(them)


HIDDEN = """
import sys
import mabeam, mabeam.services
assert not {"httpx", "httpcore", "h2", "anyio", "certifi"} & {*sys.modules}, sorted(sys.modules)
sys.modules[sys.argv[1]] = None
from mabeam.services import ConnectionManager, PoolOptions

async def main():
    try:
        await ConnectionManager.child_spec(pools={"it": PoolOptions(http2=True)}).start()
    except mabeam.StartFailed as failed:
        print(failed.__cause__)

mabeam.run(main)
"""


@pytest.mark.parametrize("package", ["httpx", "h2"])
def test_without_the_package_the_start_says_how_to_install_it(package: str) -> None:
    """And importing mabeam.services does not load it."""
    ran = subprocess.run([sys.executable, "-c", HIDDEN, package], capture_output=True, text=True, check=False)
    assert f"needs the package {package}" in ran.stdout, ran.stderr[-2_000:]
    assert "pip install 'mabeam[http]'" in ran.stdout


def test_the_error_of_a_missing_package_is_an_import_error() -> None:
    """For those who catch that."""
    assert issubclass(MissingExtra, ImportError)
