"""Makes ``docs/images/review.svg``: what ``mabeam review`` shows, recorded in the middle of a real run with crashes.

    .venv/bin/python docs/images/make_review_svg.py

It reviews the standard library's asyncio and its tests with four reviewers, every fourth file crashing its reviewer,
and keeps the picture of the moment when two thirds of the files are done. The numbers in it are therefore those of the
machine and of the Python that it was made with.
"""

import asyncio
import os
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mabeam import Runtime, spawn_link
from mabeam._base import stopwatch_of
from mabeam.cli._review_view import TeamView, last_line
from mabeam.review import Order, review, select_codes
from mabeam.telemetry import Bus

TARGET = Path(__file__).resolve().parent / "review.svg"
COLUMNS = 96


def main() -> None:
    """Run a review and keep the picture."""
    os.chdir(Path(asyncio.__file__).parents[1])  # so that the names of the files are short
    order = Order(
        paths=["asyncio", "concurrent", "test/test_asyncio"], codes=select_codes(), workers=4, chaos=0.25
    )
    # The screen that a user would see goes nowhere; the picture is drawn on a console of its own.
    view = TeamView(order, console=Console(file=StringIO(), width=COLUMNS, force_terminal=True))
    recorder = Console(
        file=StringIO(), width=COLUMNS, record=True, force_terminal=True, color_system="truecolor"
    )
    recorder.print(
        Text("$ mabeam review asyncio concurrent test/test_asyncio --workers 4 --chaos 0.25", style="bold")
    )
    total, done, drawn = 0, 0, False

    async def run() -> str:
        stopwatch = stopwatch_of(asyncio.get_running_loop())
        started = stopwatch()

        def look(event: str, measurements: Mapping[str, float], _metadata: Mapping[str, object]) -> None:
            nonlocal total, done, drawn
            if event == "review.files_listed":
                total = int(measurements["files"])
            done += event == "review.file_done"
            if event == "review.file_started" and not drawn and done > total * 2 / 3:
                drawn = True
                recorder.print(view.picture(stopwatch() - started))

        bus.attach(look)
        screen = spawn_link(view.show)
        outcome = await review(order)
        await view.end(screen)
        return last_line(outcome)

    bus = Bus()
    bus.attach(view.handle)
    last = Runtime(bus=bus, max_threads=8).run(run)
    svg = recorder.export_svg(title="mabeam review, at work", unique_id="review")
    svg = re.sub(r"\s*@font-face \{[^}]*\}", "", svg)  # a page that shows the picture must fetch nothing
    TARGET.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")
    print(last)


if __name__ == "__main__":
    main()
