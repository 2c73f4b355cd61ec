"""The eviction policies that were candidates, each as small as it can be written: for their hit ratios, not for use."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("CANDIDATES", "S3Fifo", "Sieve", "WindowTinyLfu")


class Sieve:
    """SIEVE (Zhang et al., NSDI 2024): one queue, a bit for each entry, and a hand that spares what was asked for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: dict[int, bool] = {}
        self.queue: list[int | None] = []  # from the oldest on; gaps are closed when there are too many
        self.hand = 0

    def ask(self, key: int) -> bool:
        """Whether it is there; it is afterwards."""
        if key in self.asked:
            self.asked[key] = True
            return True
        if len(self.asked) >= self.size:
            self._evict()
        self.queue.append(key)
        self.asked[key] = False
        return False

    def _evict(self) -> None:
        if len(self.queue) > 4 * self.size:
            gaps = sum(key is None for key in self.queue[: self.hand])
            self.queue = [key for key in self.queue if key is not None]
            self.hand -= gaps
        while True:
            if self.hand >= len(self.queue):
                self.hand = 0
            key = self.queue[self.hand]
            if key is not None and not self.asked[key]:
                self.queue[self.hand] = None
                del self.asked[key]
                self.hand += 1
                return
            if key is not None:
                self.asked[key] = False
            self.hand += 1


class S3Fifo:
    """S3-FIFO (Yang et al., SOSP 2023) with plain queues; ``spares`` is how often a new key must be asked for to stay."""

    def __init__(self, size: int, *, small: float = 0.1, spares: int = 2) -> None:
        self.size = size
        self.most_small = max(1, int(size * small))
        self.spares = spares
        self.asked: dict[int, int] = {}
        self.small: deque[int] = deque()
        self.main: deque[int] = deque()
        self.ghosts: OrderedDict[int, None] = OrderedDict()

    def ask(self, key: int) -> bool:
        """Whether it is there; it is afterwards."""
        if key in self.asked:
            self.asked[key] = min(3, self.asked[key] + 1)
            return True
        remembered = self.ghosts.pop(key, 0) is None
        if len(self.asked) >= self.size:
            self._evict()
        (self.main if remembered else self.small).append(key)
        self.asked[key] = 0
        return False

    def _evict(self) -> None:
        while self.small and (len(self.small) >= self.most_small or not self.main):
            key = self.small.popleft()
            if self.asked[key] < self.spares:
                del self.asked[key]
                self.ghosts[key] = None
                if len(self.ghosts) > self.size - self.most_small:
                    self.ghosts.popitem(last=False)
                return
            self.asked[key] = 0
            self.main.append(key)
            if len(self.main) > self.size - self.most_small:
                break
        while self.asked[self.main[0]] > 0:
            self.asked[self.main[0]] -= 1
            self.main.rotate(-1)
        del self.asked[self.main.popleft()]


class WindowTinyLfu:
    """W-TinyLFU (Einziger et al., 2017) with exact counts instead of a sketch, which flatters it."""

    def __init__(self, size: int, *, window: float = 0.01) -> None:
        self.most_window = max(1, int(size * window))
        self.most_main = size - self.most_window
        self.most_protected = int(self.most_main * 0.8)
        self.size = size
        self.window: OrderedDict[int, None] = OrderedDict()
        self.probation: OrderedDict[int, None] = OrderedDict()
        self.protected: OrderedDict[int, None] = OrderedDict()
        self.counts: dict[int, int] = {}
        self.requests = 0

    def ask(self, key: int) -> bool:
        """Whether it is there; it is afterwards."""
        self._count(key)
        for queue in (self.window, self.protected):
            if key in queue:
                queue.move_to_end(key)
                return True
        if key in self.probation:
            del self.probation[key]
            self.protected[key] = None
            if len(self.protected) > self.most_protected:
                self.probation[self.protected.popitem(last=False)[0]] = None
            return True
        self.window[key] = None
        if len(self.window) > self.most_window:
            self._admit(self.window.popitem(last=False)[0])
        return False

    def _admit(self, key: int) -> None:
        if len(self.probation) + len(self.protected) < self.most_main:
            self.probation[key] = None
            return
        queue = self.probation or self.protected
        victim = next(iter(queue))
        if self.counts.get(key, 0) > self.counts.get(victim, 0):
            del queue[victim]
            self.probation[key] = None

    def _count(self, key: int) -> None:
        self.counts[key] = min(15, self.counts.get(key, 0) + 1)
        self.requests += 1
        if self.requests >= 10 * self.size:
            self.counts = {each: count // 2 for each, count in self.counts.items() if count > 1}
            self.requests //= 2


#: Makes each of them, by the name of its column.
CANDIDATES: Final[dict[str, Callable[[int], Sieve | S3Fifo | WindowTinyLfu]]] = {
    "SIEVE": Sieve,
    "S3-FIFO": S3Fifo,
    "S3-FIFO, spared once asked for": lambda size: S3Fifo(size, spares=1),
    "W-TinyLFU": WindowTinyLfu,
}
