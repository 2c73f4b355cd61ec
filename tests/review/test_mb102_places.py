"""MB102: where waiting without an ``await`` holds nobody up, and where it does all the same."""

from __future__ import annotations

import pytest

from tests.review._snippets import codes

BAD = {
    "the_end_of_a_thread": (
        "import threading\nasync def f():\n  done = threading.Event()\n  thread = threading.Thread(target=g, args=(done,))\n  thread.start()\n  done.wait()"
    ),
    "a_thread_that_is_ready_some_time": (
        "import threading\nasync def f():\n  ready = threading.Event()\n  register(ready)\n  ready.wait()"
    ),
    "a_coroutine_that_speaks_of_threads": (
        "import time\nasync def f():\n  '''Never block the thread of the loop.'''\n  time.sleep(1)"
    ),
    "a_coroutine_that_is_called_non_blocking": ("import time\nasync def get_nonblocking(): time.sleep(1)"),
    "the_side_that_is_always_so": (
        "import time\nasync def f():\n  if True:\n    time.sleep(1)\n  else:\n    await g()"
    ),
    "a_program_that_is_at_work": (
        "import asyncio, requests\nasync def begin():\n  await h()\n  requests.get('x')\nasyncio.run(begin())"
    ),
    "a_program_that_has_started_something": (
        "import asyncio, requests\nasync def begin():\n  asyncio.create_task(g())\n  requests.get('x')\n  await h()\nasyncio.run(begin())"
    ),
    "a_diagram": ("async def show_dialogram(x): return input(x)"),
    "a_class_with_a_prompt_of_another_kind": (
        "class C:\n  system_prompt = 'x'\n  async def edit(self): return input('>')"
    ),
}

GOOD = {
    "the_first_sign_of_life_of_a_thread": (
        "import threading\nclass C:\n  async def f(self):\n    ready = threading.Event()\n    thread = threading.Thread(target=self.work, args=(ready,))\n    thread.start()\n    ready.wait()"
    ),
    "a_coroutine_of_a_worker_thread": (
        "import queue\nasync def f():\n  '''Block in a worker thread.'''\n  answers = queue.Queue()\n  return answers.get()"
    ),
    "a_coroutine_that_is_called_blocking": (
        "import time\nclass BlockingConnection:\n  async def sleep(self): time.sleep(1)"
    ),
    "the_other_side_of_what_is_always_so": (
        "import time\nasync def f():\n  if True:\n    await g()\n  else:\n    time.sleep(1)"
    ),
    "a_dialogue": ("async def dialog(x): return input(x)"),
    "a_class_that_holds_a_dialogue": (
        "class C:\n  async def dialog(self): return await self.edit()\n  async def edit(self): return input('>')"
    ),
    "the_beginning_of_a_program": (
        "import asyncio, requests\nasync def begin():\n  requests.get('x')\n  asyncio.create_task(g())\n  await h()\nasyncio.run(begin())"
    ),
}


@pytest.mark.parametrize("code", BAD.values(), ids=BAD)
def test_a_place_where_others_wait_is_reported_once(code: str) -> None:
    """Others run there, or may."""
    assert codes(code, "MB102") == ["MB102"]


@pytest.mark.parametrize("code", GOOD.values(), ids=GOOD)
def test_a_place_where_nobody_waits_is_not_reported(code: str) -> None:
    """No loop runs there, or nothing else in it."""
    assert codes(code, "MB102") == []
