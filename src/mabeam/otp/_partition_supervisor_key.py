"""Which partition a key belongs to: the same one in every process, every run and every version of Python.

Pure: nothing but the key counts.
"""

from __future__ import annotations

import operator
import re
import zlib
from typing import Any, Final

from mabeam.errors import UsageError
from mabeam.kernel import Pid

__all__ = ("partition_of",)

_QUOTED: Final = re.compile(r"""(['"])(?:\\.|(?!\1)[^\\])*\1""")
"""A text inside a repr: what it says is the user's."""
_ADDRESS: Final = " at 0x"


def partition_of(key: Any, count: int) -> int:
    """The partition of a key among ``count``, from 0.

    Whole numbers are counted off (``abs(key) % count``, as in Elixir), a pid by its serial number. Text and bytes go by their
    CRC-32, anything else by that of its ``repr``; Python's own ``hash`` of text differs from run to run.

    Raises:
        UsageError: the key has no ``repr`` that is the same each time, so neither has it a partition.
    """
    key = _plain(key)
    if isinstance(key, int):
        return abs(key) % count
    if isinstance(key, Pid):
        return key.serial % count
    return zlib.crc32(_bytes_of(key)) % count


def _bytes_of(key: Any) -> bytes:
    if isinstance(key, str):
        return key.encode("utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return key
    if isinstance(key, tuple):
        # The length of each part keeps ("ab", "c") and ("a", "bc") apart.
        parts = [_tagged(part) for part in key]
        return b"".join(b"%d:%s" % (len(part), part) for part in parts)
    if isinstance(key, set | frozenset):
        return b"".join(sorted(b"%d:%s" % (len(part), part) for part in map(_tagged, key)))
    if isinstance(key, Pid):
        return b"%d" % key.serial
    text = repr(key)
    if _ADDRESS in text and _ADDRESS in _QUOTED.sub("", text):
        msg = (
            f"a key of a PartitionSupervisor needs a repr that is the same in each run, got {text}: it shows where the object "
            "is in memory. Use a number, text, a tuple of them, or a frozen dataclass."
        )
        raise UsageError(msg)
    return text.encode("utf-8", "surrogatepass")


def _tagged(part: Any) -> bytes:
    """A part of a key together with its kind, so that 1 and "1" are two."""
    part = _plain(part)
    return type(part).__name__.encode() + b"=" + _bytes_of(part)


def _plain(key: Any) -> Any:
    """The text, bytes or plain number that a key is equal to: all of them lead to one partition."""
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, float):
        return int(key) if key.is_integer() else float(key)
    if isinstance(key, bytes):
        return bytes(key)
    # Integers of numpy are no int, and equal to one.
    return operator.index(key) if hasattr(type(key), "__index__") else key
