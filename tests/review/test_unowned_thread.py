"""MB105."""

from __future__ import annotations

import pytest

from tests.review._snippets import codes, findings

BAD = {
    "a_thread_started_in_place": "import threading\ndef f(): threading.Thread(target=g).start()",
    "a_daemon_thread": "from threading import Thread as T\ndef f(): T(target=g, daemon=True).start()",
    "a_thread_at_module_level": "import threading\nthreading.Thread(target=print).start()",
    "a_thread_in_a_variable": "import threading\ndef f():\n  t = threading.Thread(target=g)\n  t.start()",
    "a_thread_that_is_only_configured": (
        "import threading\ndef f():\n  t = threading.Thread(target=g)\n  t.daemon = True\n  t.start()"
    ),
    "a_timer": "import threading\ndef f(): threading.Timer(1, g).start()",
    "a_raw_thread": "import _thread\ndef f(): _thread.start_new_thread(g, ())",
    "a_thread_class_of_the_module": (
        "import threading\nclass W(threading.Thread): ...\ndef f(): W().start()"
    ),
    "a_pool_for_one_call": (
        "from concurrent.futures import ThreadPoolExecutor\ndef f(): return ThreadPoolExecutor().submit(g)"
    ),
    "a_pool_for_one_executor_call": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "async def f(loop): return await loop.run_in_executor(ThreadPoolExecutor(), g)"
    ),
    "a_pool_that_is_never_shut_down": (
        "import concurrent.futures\ndef f():\n  pool = concurrent.futures.ProcessPoolExecutor()\n"
        "  return [pool.submit(g, x) for x in xs]"
    ),
}

GOOD = {
    "a_joined_thread": "import threading\ndef f():\n  t = threading.Thread(target=g)\n  t.start()\n  t.join()",
    "a_stored_thread": (
        "import threading\nclass C:\n  def f(self):\n    self.t = threading.Thread(target=g)\n    self.t.start()"
    ),
    "a_thread_stored_later": (
        "import threading\ndef f(threads):\n  t = threading.Thread(target=g)\n  t.start()\n  threads.append(t)"
    ),
    "a_returned_thread": "import threading\ndef f():\n  t = threading.Thread(target=g)\n  t.start()\n  return t",
    "a_thread_joined_by_a_nested_function": (
        "import threading\ndef f():\n  t = threading.Thread(target=g)\n  t.start()\n"
        "  def stop(): t.join()\n  return stop"
    ),
    "a_thread_that_is_not_started_here": "import threading\ndef f(): return threading.Thread(target=g)",
    "a_timer_that_can_be_cancelled": (
        "import threading\ndef f():\n  t = threading.Timer(1, g)\n  t.start()\n  h()\n  t.cancel()"
    ),
    "a_pool_in_a_block": (
        "from concurrent.futures import ThreadPoolExecutor\ndef f():\n"
        "  with ThreadPoolExecutor() as pool: pool.submit(g)"
    ),
    "a_pool_that_is_shut_down": (
        "from concurrent.futures import ThreadPoolExecutor\ndef f():\n"
        "  pool = ThreadPoolExecutor()\n  pool.submit(g)\n  pool.shutdown()"
    ),
    "a_stored_pool": (
        "from concurrent.futures import ThreadPoolExecutor\nclass C:\n"
        "  def __init__(self): self.pool = ThreadPoolExecutor()"
    ),
    "the_default_pool_of_a_loop": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def f(loop): loop.set_default_executor(ThreadPoolExecutor(4))"
    ),
    "a_thread_with_a_future_that_is_returned": (
        "import threading\ndef f():\n  future = Future()\n  threading.Thread(target=g, args=(future,)).start()\n"
        "  return future"
    ),
    "a_thread_whose_queue_is_read": (
        "import threading, queue\ndef f():\n  q = queue.Queue()\n  threading.Thread(target=g, args=(q,)).start()\n"
        "  return q.get()"
    ),
    "a_thread_with_an_event_to_stop_it": (
        "import threading\ndef f(stop): threading.Thread(target=g, args=(stop,)).start()"
    ),
    "a_thread_that_looks_whether_to_stop": (
        "import threading\nclass C:\n  def f(self): threading.Thread(target=self.work).start()\n"
        "  def work(self):\n    while not self.stopped: g()"
    ),
    "a_thread_that_shuts_something_down": (
        "import threading\ndef f(server): threading.Thread(target=server.shutdown).start()"
    ),
    "a_thread_beside_the_loop_of_a_program": (
        "import threading\ndef f():\n  threading.Thread(target=g, daemon=True).start()\n  while True: h()"
    ),
    "another_thread_class": "from .jobs import Thread\ndef f(): Thread(target=g).start()",
    "a_local_class_of_the_same_name": "class Thread: ...\ndef f(): Thread().start()",
    "another_start": "import threading\ndef f(x): x.start()",
}


@pytest.mark.parametrize("code", BAD.values(), ids=BAD)
def test_a_thread_without_an_owner_is_reported_once(code: str) -> None:
    """A thread that nobody can wait for is a finding."""
    assert codes(code, "MB105") == ["MB105"]


@pytest.mark.parametrize("code", GOOD.values(), ids=GOOD)
def test_an_owned_thread_is_not_reported(code: str) -> None:
    """Joined, stored, returned, handed on: somebody owns it."""
    assert codes(code, "MB105") == []


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("def f(): threading.Thread(target=g, daemon=True).start()", "minor"),
        ("def f(): threading.Thread(target=g).start()", "minor"),
        ("async def f(): threading.Thread(target=g).start()", "major"),
        ("def f(): threading.Thread(target=work).start()\ndef work():\n  while True: h()", "major"),
        ("def f(): threading.Timer(1, g).start()", "minor"),
    ],
    ids=["a_daemon", "unknown_work", "in_a_coroutine", "a_loop_without_end", "a_timer"],
)
def test_the_severity_follows_what_the_exit_waits_for(code: str, severity: str) -> None:
    """A thread that never ends holds up the exit of the program."""
    assert [finding.severity.value for finding in findings(f"import threading\n{code}", "MB105")] == [
        severity
    ]


def test_the_observation_names_the_target() -> None:
    """The reader knows which thread is meant."""
    (finding,) = findings(BAD["a_daemon_thread"], "MB105")
    assert finding.observation == "`T(target=g).start()` in `f` starts a daemon thread and drops its handle."
