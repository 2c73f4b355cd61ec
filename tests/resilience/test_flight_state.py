"""Who loads and who waits, decided without waiting: every flight has a leader for as long as somebody wants its outcome."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mabeam.resilience._flight_state import Flight, Flights, Passenger

KEYS = st.integers(0, 2)


def _waiting(flight: Flight[int]) -> list[Passenger[int]]:
    assert all(each.blocks for each in flight.threads)
    assert not any(each.blocks for each in flight.tasks)
    return [*flight.threads, *flight.tasks]


class Loads(RuleBasedStateMachine):
    """Passengers come, leave, are told; some flights are outdated on the way."""

    @initialize()
    def begin(self) -> None:
        self.flights: Flights[int] = Flights()
        self.live: list[Flight[int]] = []
        self.current: dict[object, Flight[int]] = {}
        self.aboard: dict[Passenger[int], Flight[int]] = {}
        self.count = 0

    @rule(key=KEYS, blocks=st.booleans())
    def come(self, key: int, *, blocks: bool) -> None:
        self.count += 1
        me = Passenger(self.count, task=None if blocks else object(), thread=self.count)
        assert me.blocks == blocks
        flight = self.flights.under_way.get(key)
        assert flight is self.current.get(key)
        if flight is None:
            flight = self.flights.begin(key, me)
            assert flight.leader is me
            self.live.append(flight)
            self.current[key] = flight
        else:
            assert not flight.is_for_ever(me)
            flight.join(me)
        self.aboard[me] = flight

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if not self.aboard:
            return
        me = data.draw(st.sampled_from(sorted(self.aboard, key=lambda each: each.who)))
        flight = self.aboard.pop(me)
        waiting = [each for each in _waiting(flight) if each is not me]
        led = flight.leader is me
        heir = self.flights.leave(flight, me)
        assert me not in _waiting(flight)
        if not led:
            assert heir is None
            assert flight.leader is not None
            return
        threads = [each for each in waiting if each.blocks]
        assert heir is ((threads or waiting)[0] if waiting else None)
        assert flight.leader is heir
        assert heir not in _waiting(flight)
        if heir is None:
            self._over(flight)

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if not self.live:
            return
        flight = data.draw(st.sampled_from(self.live))
        waiting = _waiting(flight)
        assert self.flights.finish(flight) == waiting
        assert not _waiting(flight)
        for each in [each for each, its in self.aboard.items() if its is flight]:
            del self.aboard[each]
        self._over(flight)

    @rule(key=KEYS)
    def outdate(self, key: int) -> None:
        self.flights.outdate(key)
        self.current.pop(key, None)

    @rule()
    def outdate_all(self) -> None:
        self.flights.outdate_all()
        self.current.clear()

    def _over(self, flight: Flight[int]) -> None:
        assert flight.leader is None
        self.live.remove(flight)
        if self.current.get(flight.key) is flight:
            del self.current[flight.key]

    @invariant()
    def nobody_is_left_behind(self) -> None:
        if not hasattr(self, "flights"):
            return
        assert self.flights.under_way == self.current
        for flight in self.live:
            assert flight.leader is not None
            assert self.aboard[flight.leader] is flight
            assert flight.is_current == (self.current.get(flight.key) is flight)
            assert all(self.aboard[each] is flight for each in _waiting(flight))


def test_who_would_wait_for_himself() -> None:
    """The leader's own task; and synchronous code in the leader's thread, since a thread that stands still runs no task."""
    task = object()
    flights: Flights[str] = Flights()
    flight = flights.begin("a", Passenger("leader", task=task, thread=1))
    assert flight.is_for_ever(Passenger("itself", task=task, thread=1))
    assert flight.is_for_ever(Passenger("sync in the same thread", task=None, thread=1))
    assert not flight.is_for_ever(Passenger("another task", task=object(), thread=1))
    assert not flight.is_for_ever(Passenger("sync elsewhere", task=None, thread=2))
    flights.finish(flight)
    assert flight.is_for_ever(Passenger("sync in the same thread", task=None, thread=1)) is False


def test_the_lead_goes_to_the_first_in_line_and_to_threads_first() -> None:
    flights: Flights[str] = Flights()
    leader = Passenger("leader", task=object(), thread=1)
    tasks = [Passenger(f"task {number}", task=object(), thread=1) for number in range(3)]
    threads = [Passenger(f"thread {number}", task=None, thread=2 + number) for number in range(3)]
    flight = flights.begin("a", leader)
    for passenger in (*tasks, *threads):
        flight.join(passenger)
    order = [leader]
    while (heir := flights.leave(flight, order[-1])) is not None:
        assert flight.leader is heir
        assert flight.is_current
        order.append(heir)
    assert order == [leader, *threads, *tasks]
    assert flight.is_current is False
    assert flight.leader is None
    assert not flights.under_way


def test_a_flight_that_is_over_is_not_current() -> None:
    """So that nothing is stored from it, and the key's next flight is not touched."""
    flights: Flights[str] = Flights()
    first = flights.begin("a", Passenger("leader", task=object(), thread=1))
    flights.finish(first)
    assert first.is_current is False
    second = flights.begin("a", Passenger("other", task=object(), thread=1))
    flights.finish(first)
    assert flights.under_way == {"a": second}


def test_a_leader_in_synchronous_code_is_no_task() -> None:
    """Two that have no task are not the same one."""
    flight = Flights[str]().begin("a", Passenger("leader", task=None, thread=1))
    assert flight.is_for_ever(Passenger("itself", task=None, thread=1))
    assert not flight.is_for_ever(Passenger("a task", task=object(), thread=1))


def test_what_a_passenger_is() -> None:
    passenger = Passenger("who", task=None, thread=5)
    assert (passenger.who, passenger.task, passenger.thread) == ("who", None, 5)


# Last, for they take longest, and a mutant is dead as soon as one test fails.
TestLoads = Loads.TestCase
TestLoads.settings = settings(stateful_step_count=50)
