"""One measure of one subject, in an OS process of its own: ``python -m benchmarks._worker REQUEST RESULT``.

``REQUEST`` is JSON; the result is JSON in the file ``RESULT``, since peers print what they like.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from benchmarks._rounds import GcPauses, Rounds, clock_overhead
from benchmarks._suite import load

if TYPE_CHECKING:
    from benchmarks._rounds import Figures

__all__ = ("main",)


def main(request_text: str, result_path: str) -> NoReturn:
    """Measure, and write down what came of it."""
    request = json.loads(request_text)
    subject = load(request["suite"]).subject(request["subject"])
    if not subject.uvloop:
        # As if it were not installed: whoever picks it up when it is there takes the standard loop.
        sys.modules["uvloop"] = None  # type: ignore[assignment]  # how the import system is told that there is none
    rounds = Rounds(request["size"], request["rounds"])
    pauses = GcPauses()

    def succeed(figures: Figures) -> NoReturn:
        result = {
            "figures": figures,
            "notes": rounds.notes,
            "gc": {
                "enabled": gc.isenabled(),
                "thresholds": gc.get_threshold(),
                "frozen": gc.get_freeze_count(),
                "collections": pauses.count,
                "longest": pauses.longest,
            },
            "clock_overhead": clock_overhead(),
        }
        _leave(result_path, result)

    rounds.leave = succeed
    try:
        succeed(subject.functions()[request["measure"]](rounds))
    except BaseException as error:  # noqa: BLE001  (it is the result: the run goes on with the other subjects)
        traceback.print_exc()
        _leave(result_path, {"failed": "".join(traceback.format_exception_only(error)).strip()})


def _leave(path: str, result: dict[str, Any]) -> NoReturn:
    Path(path).write_text(json.dumps(result), encoding="utf-8")
    # Taking a million objects apart one by one is no part of any measure.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
