"""Calls that are over before anybody could press Ctrl-C, whatever they are called on."""

from __future__ import annotations

__all__ = ("QUICK_CALLS",)

# One word after the other: a list would take a line for each, and say no more.
_BUILTINS = """
    abs all any bool bytearray bytes callable chr dict dir divmod enumerate filter float frozenset getattr globals hasattr
    hash hex id int isinstance issubclass iter len list locals map max memoryview min next oct ord pow range repr reversed
    round set setattr slice sorted str sum super tuple type vars zip cast deepcopy
"""
_TEXT = """
    capitalize casefold center decode encode endswith format isalnum isalpha isatty isdigit join ljust lower lstrip partition
    replace rjust rpartition rsplit rstrip split splitlines startswith strip text_content title upper zfill
    compile findall finditer fullmatch group groupdict groups match search span sub xpath
    b64decode b64encode dumps hexdigest hexlify loads quote unhexlify unquote urlparse urlsplit urlunparse urlunsplit
    pack unpack unpack_from ip_address ip_network inet_aton inet_pton
"""
_COLLECTIONS = """
    add append clear copy count difference discard extend find get index insert intersection items keys pop popitem remove
    setdefault sort union update values get_nowait put_nowait
"""
_NUMBERS_AND_TIMES = """
    Decimal Fraction UUID uuid4 date datetime time timedelta ctime fromisoformat fromtimestamp isoformat strftime strptime
    timestamp total_seconds utcnow now today monotonic perf_counter
"""
_SYSTEM = """
    abspath basename dirname expanduser splitext fileno getpid geteuid rmdir setlocale start_color stat sysconf unlink
    add_history addnstr addstr getLevelName getLogger getmaxyx mkdir subwin raise_for_status register
"""
_LOOPS = """
    call_later call_soon current_task current_time get_default get_event_loop get_running_loop
    cancel exception is_set result set_result pause_reading resume_reading resume_writing write_eof
"""

QUICK_CALLS = frozenset(f"{_BUILTINS}{_TEXT}{_COLLECTIONS}{_NUMBERS_AND_TIMES}{_SYSTEM}{_LOOPS}".split())
"""By the last part of their names."""
