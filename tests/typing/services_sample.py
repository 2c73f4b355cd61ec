"""Policies and the handles of services as users write them: it must type-check as it stands, and run.

Lines that carry an ignore must be refused by the type checker, as in ``typed_sample``.
"""

from __future__ import annotations

from typing import Any, TypeVar

import mabeam
from mabeam import (
    Bulkhead,
    Cache,
    CircuitBreaker,
    CircuitBreakers,
    CircuitNotFound,
    ConnectionManager,
    Fallback,
    HealthCheck,
    HealthChecker,
    Hedge,
    NoSuchPool,
    Pipeline,
    PoolOptions,
    RateLimiter,
    Retry,
    Supervisor,
    TimeLimit,
    UsageError,
    cached,
)

T = TypeVar("T")

CIRCUITS = CircuitBreakers.at("circuits")
CONNECTIONS = ConnectionManager.at("connections")
HEALTH = HealthChecker.at("health")


def expect(value: T) -> T:
    """Mark a value whose type is looked at."""
    return value


async def fetch(url: str, *, tries: int = 1) -> bytes:
    return url.encode() * tries


def parse(text: str) -> int:
    return int(text)


breaker = CircuitBreaker("payments")
both = Pipeline(TimeLimit(5.0), Retry(attempts=2), Bulkhead(max_concurrent=2))


class Shop:
    """Methods under policies keep their signature, ``self`` included."""

    @breaker
    async def pay(self, amount: int) -> str:
        return f"paid {amount}"

    @Retry(attempts=2)
    def price(self, item: str, *, factor: float = 1.0) -> float:
        return len(item) * factor

    @classmethod
    @Bulkhead(max_concurrent=2)
    def open(cls, name: str) -> Shop:
        return cls()

    @staticmethod
    @both
    async def greet(name: str) -> str:
        return f"hello {name}"


@TimeLimit(5.0)
async def limited(url: str) -> bytes:
    return await fetch(url)


@Fallback(value=0)
def careful(text: str) -> int:
    return parse(text)


@cached(Cache(max_entries=10))
async def square(number: int) -> int:
    return number * number


async def policies() -> list[object]:
    """Functions under a policy, called and decorated, async and sync."""
    shop = Shop()
    opened = expect(Shop.open("corner"))
    paid = expect(await shop.pay(5))
    price = expect(shop.price("tea", factor=2.0))
    greeting = expect(await Shop.greet("ann"))
    through = expect(await breaker.call(fetch, "u", tries=2))
    plain = expect(breaker.call_sync(parse, "7"))
    retried = expect(await Retry(attempts=2).call(fetch, "u"))
    hedged = expect(await Hedge(delay=1.0).call(fetch, "h"))
    limit = expect(await RateLimiter(limit=10).for_key("ann").call(fetch, "r"))
    composed = expect(await both.call(fetch, "c"))
    within = expect(await limited("l"))
    careless = expect(careful("x"))
    squared = expect(await square(3))
    del opened
    return [
        paid,
        price,
        greeting,
        through,
        plain,
        retried,
        hedged,
        limit,
        composed,
        within,
        careless,
        squared,
    ]


async def up() -> bool:
    return True


async def services() -> list[object]:
    """The handles."""
    await Supervisor.start_link(
        [
            CircuitBreakers.child_spec(circuits={"search": {"consecutive_failures": 3}}).named("circuits"),
            ConnectionManager.child_spec(
                pools={"it": PoolOptions(base_url="http://127.0.0.1:9", policy=both)}
            ).named("connections"),
            HealthChecker.child_spec(checks={"up": HealthCheck(up, interval=5.0)}).named("health"),
        ],
        strategy="one_for_one",
    )
    called = expect(await CIRCUITS.call("search", fetch, "u", tries=3))
    supervised = expect(await CIRCUITS.options(supervised=True, timeout=2.0).call("search", fetch, "s"))
    quick = expect(await CIRCUITS.call("search", parse, "8"))
    state = expect(CIRCUITS.status("search").state)
    changed = expect(CIRCUITS.configure("search", failure_rate=0.5, minimum_calls=10))
    ids = expect(CIRCUITS.list())
    direct = expect(CIRCUITS.circuit("search").call_sync(parse, "4"))
    report = expect(await HEALTH.check_now("up"))
    status = expect(report.status)
    overall = expect(HEALTH.report_all().status)
    count = expect(CONNECTIONS.statistics("it").requests)
    options = expect(CONNECTIONS.pools()["it"].max_connections)
    async with expect(CONNECTIONS.client("it")) as client:
        url = expect(client.base_url.host)
    return [called, supervised, quick, state, changed, ids, direct, status, overall, count, options, url]


async def request() -> object:
    """What an answer is, without a server that gives one."""
    async with CONNECTIONS.stream("it", "GET", "/") as streamed:
        expect(streamed.status_code)
    answer = expect(await CONNECTIONS.request("it", "POST", "/", json={"a": 1}, timeout=1.0))
    return answer.json()


async def main() -> list[object]:
    """Everything that is fine."""
    return [*await policies(), *await services()]


async def refused() -> None:
    """What must not type-check; what is refused at run time as well is run."""
    shop = Shop()
    _ = shop.pay("5").close()  # type: ignore[arg-type]
    _ = breaker.call(fetch, 5).close()  # type: ignore[arg-type]
    _ = CIRCUITS.call("search", fetch).close()  # type: ignore[call-overload]
    _ = CIRCUITS.call("search", fetch, "u", times=2).close()  # type: ignore[call-arg]
    wrong: Any
    try:
        wrong = await CIRCUITS.call("gone", fetch, "u")
        wrong = await CONNECTIONS.request("gone", "GET", "/")
    except (CircuitNotFound, NoSuchPool):
        wrong = None
    for refuse in (
        lambda: CIRCUITS.configure("a", failures=3),  # type: ignore[call-arg]
        lambda: CIRCUITS.options(supervised="yes"),  # type: ignore[arg-type]
        lambda: CircuitBreakers.child_spec(circuits={"a": {"probe": 1}}),  # type: ignore[typeddict-unknown-key]
        lambda: HEALTH.add("a", up, interval="5"),  # type: ignore[arg-type]
        lambda: HEALTH.add("a", fetch),  # type: ignore[arg-type]
        lambda: PoolOptions(policy=Retry),  # type: ignore[arg-type]
        lambda: ConnectionManager.child_spec(pools={"a": {"max_connections": 1}}),  # type: ignore[dict-item]
    ):
        try:
            refuse()
        except UsageError:
            continue
    number: int = CIRCUITS.status("search").state  # type: ignore[assignment]
    del wrong, number


if __name__ == "__main__":
    mabeam.run(main)
