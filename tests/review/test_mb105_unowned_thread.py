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
    "a_thread_of_what_is_awaited_later": (
        "import threading\nasync def f(app):\n  threading.Thread(target=app.consume).start()\n  await app.serve()"
    ),
    "a_thread_of_an_iterator_that_ends": (
        "import threading\nclass C:\n  def __next__(self):\n    threading.Thread(target=g).start()\n"
        "    raise StopIteration"
    ),
    "a_thread_that_is_given_a_name": (
        "import threading\ndef f(p): threading.Thread(target=copy, args=(p.name,)).start()"
    ),
    "a_thread_of_a_server_that_nobody_keeps": (
        "import threading\ndef f():\n  it = make()\n  threading.Thread(target=it.serve_forever).start()"
    ),
    "a_monitor_that_holds_up_the_exit": "import threading\ndef f(): threading.Thread(target=monitor_memory).start()",
    "a_method_of_this_class": (
        "import threading\nfrom x import Actor\nclass C(Actor):\n  def work(self): self.go()\n  def f(self):\n    t = threading.Thread(target=self.work)\n    t.start()"
    ),
    "a_method_that_nobody_inherits": (
        "import threading\nclass C:\n  def f(self): threading.Thread(target=self.work).start()"
    ),
    "a_thread_beside_a_run_of_something": (
        "import threading\ndef f(job):\n  threading.Thread(target=g, daemon=True).start()\n  job.run()"
    ),
    "a_method_of_the_object_itself": (
        "import threading\nclass C:\n  def run(self): go()\n  def f(self): threading.Thread(target=self.run).start()"
    ),
    "a_loop_in_a_local_variable": (
        "import asyncio, threading\ndef f():\n  it = asyncio.new_event_loop()\n  threading.Thread(target=it.run_forever).start()\n  other = it"
    ),
    "a_thread_beside_a_function_that_ends": (
        "import threading\ndef receive(x):\n  while x: x.get()\ndef f(x):\n  threading.Thread(target=g).start()\n  receive(x)"
    ),
    "a_flag_that_nobody_sets": (
        "import threading\nclass C:\n  def __init__(self): self.on = True\n  def work(self):\n    while self.on: go()\n  def f(self): threading.Thread(target=self.work).start()"
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
    "a_future_that_is_set_by_what_the_thread_is_given": (
        "import threading\ndef f():\n  outcome = Future()\n  def run(): outcome.set_result(g())\n"
        "  threading.Thread(target=context.run, args=(run,)).start()\n  return outcome"
    ),
    "a_future_that_is_handed_on": (
        "import threading\ndef f(jobs):\n  future = Future()\n  def run(): future.set_result(g())\n"
        "  threading.Thread(target=run).start()\n  jobs.register(future)"
    ),
    "a_thread_that_says_when_it_is_done": (
        "import threading\ndef f(): threading.Thread(target=work).start()\ndef work():\n  g()\n  ready.set()"
    ),
    "a_thread_that_reads_from_a_process": (
        "import threading\ndef f(p): threading.Thread(target=copy, args=(p,)).start()\n"
        "def copy(p):\n  for line in p.stdout: print(line)"
    ),
    "a_thread_class_that_looks_whether_to_stop": (
        "import threading\nclass W(threading.Thread):\n  def run(self):\n    while not self.stopping: g()\n"
        "def f(): W().start()"
    ),
    "a_thread_for_a_loop_that_is_kept": (
        "import asyncio, threading\nclass C:\n  def f(self):\n    self.loop = asyncio.new_event_loop()\n"
        "    threading.Thread(target=self.loop.run_forever, daemon=True).start()"
    ),
    "a_thread_beside_the_server_of_a_program": (
        "import threading\ndef main(server):\n  threading.Thread(target=g, daemon=True).start()\n"
        "  server.serve_forever()"
    ),
    "a_pool_whose_one_result_is_waited_for": (
        "from concurrent.futures import ThreadPoolExecutor\ndef f(): return ThreadPoolExecutor(1).submit(g).result()"
    ),
    "a_thread_that_the_exit_is_to_wait_for": (
        "import threading\ndef f():\n  t = threading.Thread(target=g)\n  t.daemon = False\n  t.start()"
    ),
    "a_pool_whose_results_are_waited_for": (
        "import concurrent.futures\ndef f():\n  pool = concurrent.futures.ThreadPoolExecutor()\n"
        "  futures = [pool.submit(g, x) for x in xs]\n  concurrent.futures.wait(futures)"
    ),
    "a_thread_beside_what_only_a_key_press_ends": (
        "import threading\ndef f():\n  threading.Thread(target=g, daemon=True).start()\n  try: h()\n"
        "  except KeyboardInterrupt: print('over')"
    ),
    "a_thread_for_a_server_that_is_kept": (
        "import threading\nclass C:\n  def f(self): threading.Thread(target=self.server.serve_forever).start()"
    ),
    "a_thread_that_is_given_a_pipe": (
        "import threading\ndef f(p): threading.Thread(target=copy, args=(p.stdout,)).start()"
    ),
    "a_thread_for_the_loop_of_a_caller": (
        "import threading\ndef f(io_loop): threading.Thread(target=io_loop.start, daemon=True).start()"
    ),
    "a_thread_with_an_event_that_is_made_beside_it": (
        "import threading\ndef f():\n  it = threading.Event()\n  threading.Thread(target=g, args=(it,)).start()\n"
        "  h()\n  it.set()"
    ),
    "a_thread_for_a_connection_that_is_kept": (
        "import threading\nclass C:\n  def f(self):\n    conn = self.accept()\n    self.connections.add(conn)\n"
        "    threading.Thread(target=talk, args=(conn,), daemon=True).start()"
    ),
    "a_thread_for_the_loop_of_something_that_is_kept": (
        "import threading\nclass C:\n  def f(self): threading.Thread(target=self.work, daemon=True).start()\n"
        "  def work(self): self.connection.ioloop.start()"
    ),
    "a_monitor_that_ends_with_the_program": (
        "import threading\ndef f(): threading.Thread(target=monitor_memory, daemon=True).start()"
    ),
    "a_pool_whose_results_are_waited_for_in_a_comprehension": (
        "from concurrent.futures import ThreadPoolExecutor\ndef f(xs):\n  pool = ThreadPoolExecutor()\n  futures = [pool.submit(g, x) for x in xs]\n  return [future.result() for future in futures]"
    ),
    "a_method_that_a_base_class_defines": (
        "import threading\nfrom x import Actor\nclass C(Actor):\n  def f(self):\n    t = threading.Thread(target=self.loop)\n    t.start()"
    ),
    "a_thread_beside_the_run_of_a_server": (
        "import threading\ndef f(server):\n  threading.Thread(target=g, daemon=True).start()\n  server.run()"
    ),
    "a_pool_that_a_nested_function_keeps": (
        "from concurrent.futures import ThreadPoolExecutor\ndef f(app):\n  pool = ThreadPoolExecutor()\n  @app.route\n  def handle(x): pool.submit(g, x)"
    ),
    "a_server_that_is_kept_while_a_thread_runs_it": (
        "import threading\nclass C:\n  def f(self):\n    self.server = make()\n    t = threading.Thread(target=self.server.start, daemon=True)\n    t.start()"
    ),
    "a_server_that_is_put_away_afterwards": (
        "import threading\nclass C:\n  def f(self):\n    it = make()\n    threading.Thread(target=it.start).start()\n    self.it = it"
    ),
    "a_loop_that_a_global_name_keeps": (
        "import asyncio, threading\ndef f():\n  global kept\n  it = asyncio.new_event_loop()\n  threading.Thread(target=it.run_forever).start()\n  kept = it"
    ),
    "a_kept_server_that_the_target_starts": (
        "import threading\nclass C:\n  def work(self): self.simulator.start()\n  def f(self): threading.Thread(target=self.work).start()"
    ),
    "a_thread_that_an_abort_ends": (
        "import threading\nclass C:\n  def work(self):\n    while not self.abort_signal.triggered: go()\n  def f(self): threading.Thread(target=self.work).start()"
    ),
    "a_thread_that_somebody_else_starts": (
        "import threading\ndef f(view):\n  t = threading.Thread(target=g)\n  view.run(func=t.start)"
    ),
    "a_thread_beside_a_function_that_never_ends": (
        "import threading\ndef receive(x):\n  while True: x.get()\ndef f(x):\n  threading.Thread(target=g).start()\n  receive(x)"
    ),
    "a_loop_that_the_module_keeps": (
        "import asyncio, threading\nit = asyncio.new_event_loop()\nthreading.Thread(target=it.run_forever, daemon=True).start()"
    ),
    "a_flag_that_another_method_sets": (
        "import threading\nclass C:\n  def __init__(self): self.on = True\n  def work(self):\n    while self.on: go()\n  def f(self): threading.Thread(target=self.work).start()\n  def end(self): self.on = False"
    ),
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
