"""MB103: the cancellation of a task."""

from __future__ import annotations

import pytest

from tests.review._snippets import codes, findings

BAD = {
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
    "a_return_in_the_finally_of_a_coroutine": "async def f(x):\n  try: await g()\n  finally:\n    if x: return 1",
    "a_coroutine_that_is_called_like_a_method_of_somebody": (
        "import asyncio\nasync def call(rpc):\n  try: x = await asyncio.wait_for(rpc.call(), 5)\n"
        "  except asyncio.CancelledError: x = None\n  await rpc.report(x)"
    ),
    "the_result_of_an_endless_loop": (
        "import asyncio\nasync def f():\n  found = []\n  while True:\n    try: found.append(await g())\n"
        "    except asyncio.CancelledError: break\n  return found"
    ),
    "an_event_that_means_something_else": (
        "import asyncio\nasync def f(ready):\n  try: await ready.wait()\n  except asyncio.CancelledError: pass\n"
        "  await h()"
    ),
    "another_thing_that_is_called_later": (
        "import asyncio\nasync def f(task, loop):\n  loop.call_later(1, task.poll)\n  try: await g()\n"
        "  except asyncio.CancelledError: pass\n  await h()"
    ),
    "what_wraps_something_awaited": (
        "import asyncio\ndef worker(f):\n  async def wrapper(x):\n    try: await f(x)\n    except asyncio.CancelledError: x.answer('aborted')\n  return wrapper\n@worker\nasync def store(x): await x.go()\nasync def start(x): return await store(x)"
    ),
    "a_cancelled_task_with_a_result": (
        "import asyncio\nasync def ask(x):\n  try: return await x.ask()\n  except asyncio.CancelledError: log.info('Sender task was cancelled')"
    ),
    "a_clause_that_reports_something_cancelled": (
        "import asyncio\nasync def send(x):\n  try: await x.send()\n  except asyncio.CancelledError: log.info('cancelled')"
    ),
}

GOOD = {
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
    "somebody_elses_cancellation": (
        "from concurrent.futures import CancelledError\nasync def f():\n  try: await g()\n"
        "  except CancelledError: pass"
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
    "a_cancellation_with_the_reason_beside_it": (
        "import asyncio\nasync def f():\n  try: await g()\n  except asyncio.CancelledError:\n"
        "    pass  # stopped by the parent"
    ),
    "a_cancellation_and_a_key_press": (
        "import asyncio\nasync def f():\n  try: await g()\n  except (asyncio.CancelledError, KeyboardInterrupt): pass"
    ),
    "an_endless_loop_without_a_result": (
        "import asyncio\nasync def f():\n  try:\n    while True: await g()\n  except asyncio.CancelledError: log.info('x')"
    ),
    "a_handler_of_connections": (
        "import asyncio\nclass C:\n  async def start(self): await asyncio.start_server(self.talk, port=1)\n"
        "  async def talk(self, r, w):\n    try: await g()\n    except asyncio.CancelledError: pass"
    ),
    "all_of_a_program": (
        "import asyncio\nasync def f():\n  try: await g()\n  except asyncio.CancelledError: pass\nasyncio.run(f())"
    ),
    "waiting_to_be_stopped": (
        "import asyncio\nclass C:\n  async def f(self):\n    try: await self.stopping.wait()\n"
        "    except asyncio.CancelledError: pass\n    await h()"
    ),
    "a_coroutine_that_keeps_failures_in": (
        "async def _safe_cleanup(x):\n  try: await g()\n  except BaseException: pass\n  await h()"
    ),
    "a_wrapper_that_is_there_to_swallow": (
        "import asyncio\ndef suppress_cancellation(f):\n  async def wrapped():\n    try: return await f()\n"
        "    except asyncio.CancelledError: return None\n  return wrapped"
    ),
    "a_cancellation_that_is_called_later": (
        "import asyncio\nasync def f(task, loop):\n  loop.call_later(1, task.cancel)\n  try: await g()\n"
        "  except asyncio.CancelledError: pass\n  await h()"
    ),
    "an_interruption_remembered": (
        "import asyncio\nasync def f():\n  aborted = False\n  try: await g()\n"
        "  except asyncio.CancelledError: aborted = True\n  await h(aborted)"
    ),
    "all_of_a_server": (
        "import asyncio\nclass C:\n  async def serve_forever(self):\n    try: await g()\n"
        "    except asyncio.CancelledError: pass"
    ),
    "what_wraps_tasks": (
        "import asyncio\ndef worker(f):\n  async def wrapper(x):\n    try: await f(x)\n    except asyncio.CancelledError: x.answer('aborted')\n  return wrapper\n@worker\nasync def store(x): await x.go()\ndef start(x): return asyncio.create_task(store(x))"
    ),
    "tasks_cancelled_in_a_comprehension": (
        "import asyncio\nasync def f(tasks, x):\n  [task.cancel() for task in tasks]\n  try: await x.drained()\n  except asyncio.CancelledError: pass\n  await x.more()"
    ),
    "a_clause_that_reports_a_cancelled_task": (
        "import asyncio\nasync def send(x):\n  try: await x.send()\n  except asyncio.CancelledError: log.info('Sender task was cancelled')"
    ),
    "a_forced_clean_up": (
        "async def _force_cleanup(x):\n  try: await x.__aexit__(None, None, None)\n  except BaseException: pass"
    ),
}


@pytest.mark.parametrize("code", BAD.values(), ids=BAD)
def test_a_swallowed_cancellation_is_reported_once(code: str) -> None:
    """What ends a task must not end in a handler."""
    assert codes(code, "MB103") == ["MB103"]


@pytest.mark.parametrize("code", GOOD.values(), ids=GOOD)
def test_a_cancellation_that_goes_on_is_not_reported(code: str) -> None:
    """Raising, remembering and waiting for what was cancelled are fine."""
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


def test_an_error_in_place_of_the_cancellation_is_no_normal_end() -> None:
    """The one sentence would be wrong, the other is true."""
    (finding,) = findings(
        """
        import asyncio
        import contextlib

        async def picture(camera):
            with contextlib.suppress(asyncio.CancelledError):
                return await camera.shot()
            raise LookupError("no picture")
        """,
        "MB103",
    )
    assert "does not raise it again" in finding.observation
    assert "normal end" not in finding.observation
