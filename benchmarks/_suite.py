"""What a suite is made of: measures, the subjects that are measured, and the registry of suites by name."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks._rounds import Figures, Rounds

__all__ = ("SUITES", "UNITS", "Figure", "Measure", "Subject", "Suite", "load")

#: Each suite by name, and the package whose ``SUITE`` it is.
SUITES: Final = {
    "kernel": "benchmarks.kernel",
    "resilience": "benchmarks.resilience",
    "services": "benchmarks.services",
}

Unit: TypeAlias = Literal["ns", "us", "ms", "s", "bytes", "MB", "1/s", "%"]
#: What a value in seconds, bytes, per second or of 1 is multiplied with to be shown in a unit.
UNITS: Final[Mapping[Unit, float]] = {
    "ns": 1e9,
    "us": 1e6,
    "ms": 1e3,
    "s": 1.0,
    "bytes": 1.0,
    "MB": 1e-6,
    "1/s": 1.0,
    "%": 100.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number that a measure yields.

    Attributes:
        name: key in the JSON; ``value`` when there is only one.
        title: heading of its column.
        unit: how it is shown. Stored are seconds, bytes, or events per second.
    """

    name: str = "value"
    title: str = ""
    unit: Unit = "us"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Something that is measured in the same way for every subject.

    Attributes:
        name: key in the JSON, and what ``--only`` takes.
        title: a heading.
        definition: what exactly is done, for all subjects alike.
        figures: what comes of it.
        size: operations in one round, or things alive at once; the same number for every subject that can bear it.
        quick_size: the same under ``--quick``.
        rounds: timed rounds within one OS process, after one that warms up. Many short ones rather than a few long ones: on
            a busy machine a few milliseconds may pass undisturbed, and the minimum finds them.
        repetitions: most fresh OS processes for each subject; ``None`` is as many as the command line says.
        timeout: seconds after which an OS process that measures is given up.
    """

    name: str
    title: str
    definition: str
    figures: tuple[Figure, ...] = (Figure(),)
    size: int
    quick_size: int
    rounds: int = 5
    repetitions: int | None = None
    timeout: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured: mabeam, or one of its peers.

    Attributes:
        name: key in the JSON.
        title: a heading.
        module: where its ``MEASURES`` are: functions by the name of the measure.
        distribution: the installed distribution whose version is stated; ``None`` for commands and the standard library.
        imports: modules that have to be there.
        commands: commands that have to be there.
        uvloop: false hides uvloop from it, so that it runs on the standard loop.
        sizes: sizes of its own, where the common one is too much for it; the report shows them.
        absent: measures that it has no notion of, each with the reason.
        repetitions: most OS processes for each measure; for those that take long to start.
        version: tells the version of what is no distribution; called only when nothing is missing.
    """

    name: str
    title: str
    module: str
    distribution: str | None = None
    imports: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    uvloop: bool = True
    sizes: Mapping[str, int] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    repetitions: int | None = None
    version: Callable[[], str] | None = None

    def missing(self) -> str | None:
        """Why it cannot be measured here, and what to do about it; ``None`` when it can."""
        imports = [each for each in self.imports if importlib.util.find_spec(each) is None]
        if imports:
            return f"not installed: {', '.join(imports)} (make bench installs it)"
        commands = [each for each in self.commands if shutil.which(each) is None]
        if commands:
            return f"not installed: the commands {', '.join(commands)} (Debian: apt-get install erlang-base)"
        return None

    def size_of(self, measure: Measure, *, quick: bool) -> int:
        """How much of it is done in one round."""
        size = measure.quick_size if quick else measure.size
        return min(size, self.sizes.get(measure.name, size))

    def functions(self) -> Mapping[str, Callable[[Rounds], Figures]]:
        """Its measures by name. Imports what it needs, so only where it is installed."""
        table = importlib.import_module(self.module).MEASURES
        return cast("Mapping[str, Callable[[Rounds], Figures]]", table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Measures and subjects that belong together.

    Attributes:
        name: what the command line calls it.
        title: a heading.
        intro: what the page says before the figures.
        measures: in the order in which they are run and shown.
        subjects: in the order in which they are shown.
        reference: the subject that ratios are taken to.
    """

    name: str
    title: str
    intro: str
    measures: tuple[Measure, ...]
    subjects: tuple[Subject, ...]
    reference: str

    def measure(self, name: str) -> Measure:
        """The measure of that name."""
        return next(each for each in self.measures if each.name == name)

    def subject(self, name: str) -> Subject:
        """The subject of that name."""
        return next(each for each in self.subjects if each.name == name)


def load(name: str) -> Suite:
    """The suite of that name."""
    return cast("Suite", importlib.import_module(SUITES[name]).SUITE)
