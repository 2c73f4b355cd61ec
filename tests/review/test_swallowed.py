"""MB103."""

from __future__ import annotations

import pytest

from tests.review._snippets import codes, findings

BAD = {
    "a_bare_except": "def f():\n  try: g()\n  except: pass",
    "a_base_exception": "def f():\n  try: g()\n  except BaseException: return None",
    "a_base_exception_in_a_tuple": "def f():\n  try: g()\n  except (ValueError, BaseException): pass",
    "a_base_exception_that_is_logged": "def f():\n  try: g()\n  except BaseException as e: log.error('%s', e)",
    "a_logged_traceback": (
        "import traceback\ndef f():\n  try: g()\n  except: log.error(traceback.format_exc())"
    ),
    "a_cancellation": "import asyncio\nasync def f():\n  try: await g()\n  except asyncio.CancelledError: pass",
    "a_cancellation_while_waiting_for_an_event": (
        "import asyncio\nasync def f(event):\n  try: await event.wait()\n  except asyncio.CancelledError: pass"
    ),
    "a_cancellation_under_an_alias": (
        "from asyncio import CancelledError as CE\nasync def f():\n  try: await g()\n  except CE: return"
    ),
    "a_cancellation_among_others": (
        "import asyncio\nasync def f():\n  try: await g()\n"
        "  except (OSError, asyncio.CancelledError): log.info('over')"
    ),
    "a_bare_except_in_a_coroutine": "async def f():\n  try: await g()\n  except: print('x')",
    "a_loop_that_cannot_be_stopped": (
        "import asyncio\nasync def f():\n  while True:\n    try: await g()\n"
        "    except asyncio.CancelledError: pass"
    ),
    "a_suppressed_cancellation": (
        "import asyncio, contextlib\nasync def f():\n  with contextlib.suppress(asyncio.CancelledError): await g()"
    ),
    "a_suppressed_base_exception": (
        "from contextlib import suppress\ndef f():\n  with suppress(BaseException): g()"
    ),
    "an_exception_that_is_only_asked_about": (
        "def f():\n  try: g()\n  except BaseException as e:\n    if isinstance(e, OSError): print('x')"
    ),
}

GOOD = {
    "an_ordinary_exception": "def f():\n  try: g()\n  except Exception: pass",
    "raising_again": "def f():\n  try: g()\n  except BaseException:\n    undo()\n    raise",
    "raising_on_a_condition": "def f():\n  try: g()\n  except:\n    if not quiet: raise",
    "logging_and_raising": "def f():\n  try: g()\n  except BaseException as e:\n    log.error(e)\n    raise",
    "leaving_the_program": "import sys\ndef f():\n  try: g()\n  except BaseException: sys.exit(1)",
    "leaving_a_fork": "import os\ndef f():\n  try: g()\n  except: print('x')\n  finally: os._exit(1)",
    "handing_on_to_a_future": "def f(x):\n  try: g()\n  except BaseException as e: x.set_exception(e)",
    "handing_on_to_a_queue": "def f(q):\n  try: g()\n  except BaseException as e: q.put(e)",
    "storing": "class C:\n  def f(self):\n    try: g()\n    except BaseException as e: self.error = e",
    "storing_the_first": (
        "def f():\n  first = None\n  try: g()\n  except BaseException as e:\n"
        "    if first is None: first = e\n  return first"
    ),
    "returning": "def f():\n  try: g()\n  except BaseException as e: return e",
    "the_exception_hook": "import sys\ndef f():\n  try: g()\n  except: sys.excepthook(*sys.exc_info())",
    "a_method_that_deals_with_errors": "class C:\n  def f(self):\n    try: g()\n    except: self.handle_error()",
    "a_test_that_fails": "class C:\n  def f(self):\n    try: g()\n    except: self.fail('x')",
    "exits_caught_before": (
        "def f():\n  try: g()\n  except (KeyboardInterrupt, SystemExit): raise\n  except: pass"
    ),
    "waiting_for_a_task_that_was_cancelled": (
        "import asyncio\nasync def f(task):\n  task.cancel()\n  try: await task\n"
        "  except asyncio.CancelledError: pass"
    ),
    "suppressing_while_waiting_for_a_cancelled_task": (
        "import asyncio, contextlib\nasync def f(task):\n  task.cancel()\n"
        "  with contextlib.suppress(asyncio.CancelledError): await task"
    ),
    "suppressing_everything_while_waiting_for_a_cancelled_task": (
        "import contextlib\nasync def f(task):\n  task.cancel()\n"
        "  with contextlib.suppress(BaseException): await task"
    ),
    "waiting_for_a_handle": (
        "import asyncio\nclass C:\n  async def f(self):\n    try: await self.task\n"
        "    except asyncio.CancelledError: pass"
    ),
    "waiting_for_a_handle_with_a_timeout": (
        "import asyncio\nasync def f(task):\n  try:\n    async with asyncio.timeout(1): await task\n"
        "  except (TimeoutError, asyncio.CancelledError): pass"
    ),
    "cancellation_raised_again": (
        "import asyncio\nasync def f():\n  try: await g()\n  except asyncio.CancelledError:\n    undo()\n    raise"
    ),
    "cancellation_remembered": (
        "import asyncio\nasync def f():\n  cancelled = False\n  try: await g()\n"
        "  except asyncio.CancelledError: cancelled = True\n  if cancelled: raise ValueError"
    ),
    "nothing_awaited": "import asyncio\nasync def f(t):\n  try: t.result()\n  except asyncio.CancelledError: pass",
    "cancellation_in_a_plain_function": (
        "import asyncio\ndef f(t):\n  try: return t.exception()\n  except asyncio.CancelledError: return None"
    ),
    "the_outcome_of_a_task": "def f(t):\n  try: t.result()\n  except BaseException: pass",
    "somebody_elses_cancellation": (
        "from concurrent.futures import CancelledError\nasync def f():\n  try: await g()\n"
        "  except CancelledError: pass"
    ),
    "a_class_of_the_same_name": (
        "class BaseException: ...\ndef f():\n  try: g()\n  except BaseException: pass"
    ),
    "the_end_of_an_object": "class C:\n  def __del__(self):\n    try: g()\n    except: pass",
    "the_main_function_of_a_thread": (
        "import threading\ndef work():\n  try: g()\n  except BaseException: log.exception('x')\n"
        "def start(): return threading.Thread(target=work)"
    ),
    "on_the_way_out_already": (
        "def f():\n  try: g()\n  except BaseException:\n    try: undo()\n    except BaseException: pass\n    raise"
    ),
    "the_end_of_a_task_of_its_own": (
        "import asyncio\nclass C:\n  def start(self): self.task = asyncio.create_task(self.poll())\n"
        "  async def poll(self):\n    try: await g()\n    except asyncio.CancelledError: pass"
    ),
    "leaving_the_loop_of_a_task_of_its_own": (
        "import asyncio\nclass C:\n  def start(self): self.task = asyncio.create_task(self.poll())\n"
        "  async def poll(self):\n    while True:\n      try: x = await g()\n      except asyncio.CancelledError: break\n"
        "      await h(x)"
    ),
    "the_end_of_clean_up": (
        "import asyncio\nclass C:\n  async def close(self):\n    try: await g()\n    except asyncio.CancelledError: pass"
    ),
    "waiting_for_ever": (
        "import asyncio\nasync def f():\n  try: await asyncio.Event().wait()\n"
        "  except asyncio.CancelledError: pass\n  await h()"
    ),
    "in_a_finally": (
        "import asyncio\nasync def f():\n  try: await g()\n  finally:\n    try: await h()\n"
        "    except asyncio.CancelledError: pass"
    ),
    "a_cancellation_caught_before": (
        "import asyncio\nasync def f():\n  try: await g()\n  except asyncio.CancelledError: raise\n"
        "  except BaseException: log.exception('x')"
    ),
    "closing_something": "def f(x):\n  try: x.close()\n  except: pass",
    "something_quick": "def f(x):\n  try: return int(x.split(':')[0])\n  except: return 0",
    "an_optional_import": "try:\n  import fast\nexcept:\n  fast = None",
    "foreign_code": "def f(x):\n  try: return eval(x)\n  except BaseException: return None",
    "a_console": "import cmd\nclass C(cmd.Cmd):\n  def f(self):\n    try: g()\n    except: return",
    "a_function_about_an_error": (
        "def f(error: BaseException):\n  try: report(error)\n  except BaseException: pass"
    ),
    "an_answer_with_the_error_in_it": (
        "def f(answers):\n  try: g()\n  except BaseException as e: answers.append(f'failed: {e}')"
    ),
    "a_status": "def main():\n  try: g()\n  except:\n    print('x')\n    return 1",
    "a_clause_that_another_linter_was_told_about": "def f():\n  try: g()\n  except:  # noqa: E722\n    pass",
    "a_block_that_only_raises": "def f():\n  try: raise ValueError(1)\n  except: x = 2",
    "a_block_that_calls_nothing": "def f():\n  try: x = 1\n  except: x = 2",
}


@pytest.mark.parametrize("code", BAD.values(), ids=BAD)
def test_a_swallowed_exception_is_reported_once(code: str) -> None:
    """What ends tasks or programs must not end in a handler."""
    assert codes(code, "MB103") == ["MB103"]


@pytest.mark.parametrize("code", GOOD.values(), ids=GOOD)
def test_an_exception_that_goes_on_is_not_reported(code: str) -> None:
    """Raising, exiting, keeping and handing on are fine."""
    assert codes(code, "MB103") == []


@pytest.mark.parametrize(
    ("handler", "after", "severity"),
    [("pass", "", "minor"), ("pass", "  await h()", "major"), ("return", "  await h()", "minor")],
    ids=["the_end_of_the_coroutine", "the_coroutine_goes_on", "the_handler_returns"],
)
def test_the_severity_follows_what_goes_on_afterwards(handler: str, after: str, severity: str) -> None:
    """A task that goes on after its cancellation is worse than one that ends."""
    code = f"import asyncio\nasync def f():\n  try: await g()\n  except asyncio.CancelledError: {handler}\n{after}"
    assert [finding.severity.value for finding in findings(code, "MB103")] == [severity]


def test_a_loop_that_eats_its_cancellation_is_critical() -> None:
    """It can never be stopped."""
    (finding,) = findings(BAD["a_loop_that_cannot_be_stopped"], "MB103")
    assert finding.severity == "critical"


def test_a_bare_except_in_a_plain_function_is_minor() -> None:
    """It can lose an exit, which is rare."""
    (finding,) = findings(BAD["a_bare_except"], "MB103")
    assert finding.severity == "minor"
    assert finding.observation.startswith("`except:` in `f` also catches KeyboardInterrupt")
