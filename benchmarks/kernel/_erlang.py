"""Erlang/OTP on one scheduler (``+S 1``): the program is ``mabeam_bench.erl``, compiled when it is first needed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.kernel._lateness import WRITER, lateness_figures, seconds_of_load

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._rounds import Figures, Rounds

__all__ = ("FLAGS", "MEASURES", "SOURCE", "version")

SOURCE: Final = Path(__file__).with_name("mabeam_bench.erl")
#: One scheduler, and room for a million processes and their names.
FLAGS: Final = ("+S", "1", "+P", "4000000", "+t", "4000000")

_NAMES: Final = (
    "call_idle",
    "call_queued",
    "call_behind",
    "call_async",
    "call_async_waits",
    "call_concurrent",
    "cast",
    "start_supervised",
    "memory_idle",
    "fan_out",
    "crash_restart",
    "crash_restart_report",
    "stop_orderly",
    "million",
    "async_stream",
    "latency_under_load",
)


def version() -> str:
    """What is measured: release, emulator, flavour."""
    expression = (
        'io:format("OTP ~s, erts ~s, ~s", [erlang:system_info(otp_release), erlang:system_info(version), '
        "erlang:system_info(emu_flavor)]), halt()."
    )
    done = subprocess.run(
        [_command("erl"), "-noshell", "-eval", expression],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout


def _command(name: str) -> str:
    return shutil.which(name) or name


def _compiled() -> Path:
    """The folder of the compiled program; made anew when the source has changed."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"mabeam-bench-{os.getuid()}-{digest}"
    if not (folder / "mabeam_bench.beam").exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        subprocess.run([_command("erlc"), "-o", str(folder), str(SOURCE)], check=True, timeout=60)
    return folder


def _run(name: str, rounds: Rounds) -> dict[str, list[int]]:
    """Run the program; the integers that it prints, by figure."""
    warm_and_timed = rounds.operations // rounds.size
    command = [_command("erl"), *FLAGS, "-noshell", "-pa", str(_compiled())]
    command += ["-run", "mabeam_bench", "main", name, str(rounds.size), str(warm_and_timed - 1)]
    environment = os.environ | {
        "MABEAM_BENCH_MILLISECONDS": str(int(seconds_of_load(rounds.size) * 1_000)),
        "MABEAM_BENCH_PYTHON": sys.executable,
        "MABEAM_BENCH_WRITER": WRITER,
    }
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    lines = done.stdout.splitlines()
    if "DONE" not in lines:
        raise RuntimeError(f"the Erlang program did not come to its end: {done.stdout[-2_000:]}")
    words = [line.split(" ", 2) for line in lines if line.startswith("FIGURE ")]
    return {figure: json.loads(values) for _, figure, values in words}


def _measure(name: str) -> Callable[[Rounds], Figures]:
    def measure(rounds: Rounds) -> Figures:
        got = _run(name, rounds)
        match name:
            case "memory_idle":
                rounds.note(f"erlang:memory(total) grows by {got['own_account'][0]} bytes for each")
                return {"value": [float(got["value"][0])]}
            case "million":
                rounds.note("a garbage collector for each process: no pause of the whole")
                seconds = {name: [got[name][0] / 1e9] for name in ("seconds", "cpu_seconds")}
                return {**seconds, "bytes": [float(got["bytes"][0])]}
            case "latency_under_load":
                rounds.note("the processes that look on have priority high")
                timer, pipe = ([value / 1e9 for value in got[each]] for each in ("timer", "pipe"))
                return lateness_figures(timer, pipe, got["messages"][0])
            case _:
                # Where the system does not tell, the processor times are 0.
                return {
                    figure: [value / 1e9 / rounds.size for value in values]
                    for figure, values in got.items()
                    if not figure.startswith("cpu_at") and all(values)
                }

    return measure


MEASURES = {name: _measure(name) for name in _NAMES}
