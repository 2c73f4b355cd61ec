"""What the name of a function says about it: that it ends something, lasts, costs little, or reaches out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mabeam.review._clues._words import last_name

if TYPE_CHECKING:
    import ast

__all__ = ("is_cheap", "is_cleanup", "is_cleanup_name", "is_lasting_name", "is_serving_name", "reaches_out")

# What looks into a cache or checks an argument costs next to nothing, however many there are.
_CHEAP = re.compile(
    r"cache|prepare|register|subscri|invalidate|evict|inflight|authori[sz]e|validate|allowed|permission|(?:^|_)check(?:$|_)|hook|callback|listener|"
    r"(?:handle|emit|dispatch|notify)_?event|render|format|parse|convert|transform|serialize",
    re.IGNORECASE,
)
_OUTWARD = re.compile(
    r"fetch|download|upload|request|crawl|scrape|http|(?:^|_)(?:send|post|put|call|query|embed|ping|probe|publish|push|sync|"
    r"process|handle|work|import|translate|generate|complete|completion)(?:$|_)|embedding|(?:^|_)(?:delete|insert|upsert|save|store|notify|invoke|scan)(?:$|_)",
    re.IGNORECASE,
)
_CLEANUP = re.compile(
    r"^_?(?:async_?)?(?:a?close|stop|shutdown|cancel|disconnect|join|wait|terminate|cleanup|clean_up|kill|drain|flush|unsubscribe|"
    r"abort|release|dispose|unload|teardown|tear_down|exit|finali[sz]e|__aexit__|detach|remove_|delete_consumer)|"
    r"(?:^|_)(?:cleanup|clean_up|close|shutdown|teardown)$",
    re.IGNORECASE,
)
# What is started once for each part of a program and runs until its end: a limit would leave parts out.
_LASTING = re.compile(
    r"^_?a?(?:run|serve|listen|watch|main|run_forever|serve_forever|start|setup|connect|heartbeat|init|initiali[sz]e|startup|lifespan)$|"
    r"(?:^|_)(?:loop|worker|consumer|producer|monitor|pump|reader|writer|poller|forever)$",
    re.IGNORECASE,
)
# Calls in which a program spends its life.
_SERVING = frozenset({"mainloop", "run_polling", "start_polling", "infinity_polling", "run_app"})


def is_cheap(function: ast.expr) -> bool:
    """Whether what is started hardly costs anything, by its name."""
    return _CHEAP.search(last_name(function)) is not None


def reaches_out(function: ast.expr) -> bool:
    """Whether what is started loads something outside of the program, by its name."""
    return _OUTWARD.search(last_name(function)) is not None


def is_cleanup(function: ast.expr) -> bool:
    """Whether what is started ends something that lives already, or is one of the lasting parts of a program."""
    name = last_name(function)
    return is_cleanup_name(name) or is_lasting_name(name)


def is_cleanup_name(name: str) -> bool:
    """Whether a function of this name ends something that lives already."""
    return _CLEANUP.search(name) is not None


def is_lasting_name(name: str) -> bool:
    """Whether a function of this name is one of the lasting parts of a program, or the program itself."""
    return _LASTING.search(name) is not None


def is_serving_name(name: str) -> bool:
    """Whether a call of this name goes on until somebody ends the program."""
    return name in _SERVING or name.endswith("forever")
