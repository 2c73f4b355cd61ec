"""MB102."""

from __future__ import annotations

import pytest

from tests.review._snippets import codes, findings

BAD = {
    "time_sleep": "import time\nasync def f(): time.sleep(1)",
    "time_sleep_under_an_alias": "import time as t\nasync def f(): t.sleep(n)",
    "subprocess_run_under_an_alias": "from subprocess import run as r\nasync def f(): r(['ls'])",
    "os_system": "import os\nasync def f(): os.system('ls')",
    "requests_get": "import requests\nasync def f(): return requests.get(url)",
    "a_requests_session": "import requests\nasync def f():\n  with requests.Session() as s: return s.get(url)",
    "urlopen": "from urllib.request import urlopen\nasync def f(): return urlopen(url)",
    "urlopen_through_the_package": "import urllib.request, urllib.parse\nasync def f(): urllib.request.urlopen(url)",
    "a_name_look_up": "import socket\nasync def f(host): socket.gethostbyname(host)",
    "a_connection": "import socket\nasync def f(a): return socket.create_connection(a)",
    "a_blocking_socket": "import socket\nasync def f(a):\n  s = socket.socket()\n  s.connect(a)",
    "sqlite": "import sqlite3\nasync def f(): return sqlite3.connect('x.db')",
    "a_process_that_is_waited_for": "import subprocess\nasync def f():\n  p = subprocess.Popen('ls')\n  p.wait()",
    "communicating_in_place": "import subprocess\nasync def f(): subprocess.Popen('ls').communicate()",
    "reading_a_file_in_place": "async def f(p): return open(p).read()",
    "reading_a_file_in_a_block": "async def f(p):\n  with open(p) as file:\n    return file.read()",
    "reading_line_by_line": "async def f(p):\n  with open(p) as file:\n    for line in file: print(line)",
    "loading_a_file": "import json\nasync def f(p):\n  with open(p) as file: return json.load(file)",
    "a_path_in_place": "from pathlib import Path\nasync def f(p): return Path(p).read_text()",
    "a_path_below_a_path": "from pathlib import Path\nasync def f(p: Path): (p / 'x').write_text('')",
    "a_path_at_module_level": "import pathlib\nP = pathlib.Path('x')\nasync def f(): return P.parent.read_bytes()",
    "copying": "import shutil\nasync def f(a, b): shutil.copy(a, b)",
    "input": "async def f(): return input()",
    "in_a_comprehension": "import time\nasync def f(): return [time.sleep(x) for x in xs]",
    "through_a_function_of_the_module": "import time\ndef g(): time.sleep(1)\nasync def f(): g()",
    "through_a_method": "import time\nclass C:\n  def g(self): time.sleep(1)\n  async def f(self): self.g()",
    "through_a_nested_function": "import time\nasync def f():\n  def g(): time.sleep(1)\n  g()",
    "through_a_static_method": (
        "import time\nclass C:\n  @staticmethod\n  def g(): time.sleep(1)\n  async def f(self): self.g()"
    ),
    "an_optional_import": (
        "try:\n  import requests\nexcept ImportError:\n  requests = None\nasync def f(): requests.get(url)"
    ),
    "a_session_that_the_class_makes": (
        "import requests\nclass C:\n  def __init__(self): self.s = requests.Session()\n"
        "  async def f(self): return self.s.get(url)"
    ),
    "a_path_that_the_class_declares": (
        "from pathlib import Path\nclass C:\n  root: Path\n  async def f(self): return (self.root / 'x').read_text()"
    ),
    "a_path_that_may_be_none": "from pathlib import Path\nasync def f(p: Path | None): return p.read_text()",
    "a_path_that_takes_the_place_of_a_string": (
        "from pathlib import Path\nasync def f(p):\n  p = Path(p)\n  return p.read_text()"
    ),
    "the_result_of_a_pool": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor()\n"
        "async def f():\n  future = pool.submit(g)\n  return future.result()"
    ),
    "the_result_of_another_loop": (
        "import asyncio\nasync def f(loop): return asyncio.run_coroutine_threadsafe(g(), loop).result()"
    ),
    "the_results_of_threads": (
        "from concurrent.futures import as_completed\nasync def f(fs):\n  for each in as_completed(fs): print(each)"
    ),
    "joining_a_thread": "import threading\nasync def f():\n  t = threading.Thread(target=g)\n  t.start()\n  t.join()",
    "waiting_for_the_event_of_a_thread": "import threading\nready = threading.Event()\nasync def f(): ready.wait()",
    "a_queue_of_threads": "import queue\nq = queue.Queue()\nasync def f(): return q.get()",
    "a_client_without_async": (
        "import openai\nclient = openai.OpenAI()\n"
        "async def f(): return client.chat.completions.create(model='m')"
    ),
    "a_store_in_the_cloud": "import boto3\ns3 = boto3.client('s3')\nasync def f(b): s3.put_object(Body=b)",
    "a_database_behind_an_index": (
        "import pymongo\nclient = pymongo.MongoClient()\nasync def f(): return client['db'].users.find_one({})"
    ),
    "a_key_value_store": "import redis\nr = redis.Redis()\nasync def f(): return r.get('x')",
    "a_process_in_a_program": "import subprocess\nasync def main(): subprocess.run(['ls'])",
    "a_question_beside_other_work": (
        "import asyncio\nasync def main():\n  task = asyncio.create_task(g())\n  x = input()\n  await task"
    ),
    "a_file_in_a_route_of_a_script": (
        "import argparse\n@app.get('/')\nasync def f(p):\n  with open(p) as file: return file.read()"
    ),
    "a_process_in_a_command_with_company": (
        "import argparse, asyncio, subprocess\nasync def f():\n  subprocess.run(['ls'])\n"
        "async def g(): await asyncio.gather(f(), f())"
    ),
    "a_name_that_is_not_one_s_own": (
        "import socket\nasync def f(host):\n  if host == 'other': return socket.getaddrinfo(host, 80)"
    ),
    "writing_a_file_of_the_system": (
        "from pathlib import Path\nasync def f(x): Path('/var/lib/x').write_text(x)"
    ),
    "another_file_after_one_of_the_program": (
        "async def f(p):\n  with open(__file__) as file: a = file.read()\n  with open(p) as file: return a + file.read()"
    ),
}

GOOD = {
    "a_plain_function": "import time\ndef f(): time.sleep(1)",
    "the_async_sleep": "import asyncio\nasync def f(): await asyncio.sleep(1)",
    "yielding_the_processor": "import time\nasync def f(): time.sleep(0)",
    "a_function_given_to_a_thread": "import asyncio, time\nasync def f(): await asyncio.to_thread(time.sleep, 1)",
    "a_lambda_given_to_a_thread": (
        "import asyncio, time\nasync def f(): await asyncio.to_thread(lambda: time.sleep(1))"
    ),
    "a_nested_function_given_to_a_thread": (
        "import asyncio, time\nasync def f():\n  def g(): time.sleep(1)\n  await asyncio.to_thread(g)"
    ),
    "an_awaited_call_of_the_same_name": "import requests\nasync def f(): await requests.get(url)",
    "a_local_variable_of_the_same_name": "import requests\nasync def f():\n  requests = pool()\n  requests.get(url)",
    "a_parameter_of_the_same_name": "import requests\nasync def f(requests): requests.get(url)",
    "a_comprehension_variable_of_the_same_name": (
        "import requests\nasync def f(xs): return [requests.get(1) for requests in xs]"
    ),
    "a_class_attribute_of_the_same_name": (
        "import time\nclass C:\n  time = 1\n  async def f(self): self.time.sleep(1)"
    ),
    "a_function_of_the_same_name": "def open(p): ...\nasync def f(p): return open(p).read()",
    "a_relative_import": "from . import requests\nasync def f(): requests.get(url)",
    "another_package_with_the_same_end": "from curl_cffi import requests\nasync def f(): requests.get(url)",
    "an_unknown_loop": "async def f(file):\n  for line in file: print(line)",
    "an_unknown_read": "async def f(file): return file.read()",
    "opening_alone": "async def f(p): return open(p)",
    "reading_a_part": "async def f(p):\n  with open(p) as file: return file.read(10)",
    "an_async_path": "from anyio import Path\nasync def f(p): return await Path(p).read_text()",
    "a_numeric_address": "import socket\nasync def f(): socket.getaddrinfo('127.0.0.1', 80)",
    "a_socket_that_does_not_block": (
        "import socket\nasync def f(a):\n  s = socket.socket()\n  s.setblocking(False)\n  s.connect(a)"
    ),
    "a_datagram_socket": (
        "import socket\nasync def f(a):\n  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n  s.connect(a)"
    ),
    "a_database_in_memory": (
        "import sqlite3\nasync def f():\n  c = sqlite3.connect(':memory:')\n  c.execute('select 1')"
    ),
    "a_process_of_asyncio": (
        "import asyncio\nasync def f():\n  p = await asyncio.create_subprocess_exec('ls')\n  await p.wait()"
    ),
    "starting_a_process": "import subprocess\nasync def f(): return subprocess.Popen('ls')",
    "a_generator_function": "import time\ndef g():\n  time.sleep(1)\n  yield\nasync def f(): return g()",
    "a_decorated_function": "import time\n@in_thread\ndef g(): time.sleep(1)\nasync def f(): await g()",
    "a_function_for_both_worlds": (
        "import asyncio, time\ndef g():\n  try: asyncio.get_running_loop()\n"
        "  except RuntimeError: time.sleep(1)\nasync def f(): g()"
    ),
    "a_method_of_somebody_else": "import time\nclass C:\n  def g(self): time.sleep(1)\n  async def f(self, o): o.g()",
    "a_file_of_the_kernel": "async def f(pid):\n  with open(f'/proc/{pid}/cmdline') as file: return file.read()",
    "a_small_file_at_the_start": "async def main(p):\n  with open(p) as file: return file.read()",
    "a_small_file_in_the_opening_of_a_block": (
        "from pathlib import Path\nclass C:\n  async def __aenter__(self): self.x = Path('x').read_text()"
    ),
    "a_question_in_a_command": "@app.command()\nasync def f(): return input()",
    "a_call_that_another_linter_was_told_about": (
        "async def f(p):\n  with open(p) as file:\n    return file.read()  # noqa: ASYNC230"
    ),
    "two_functions_deep": "import time\ndef h(): time.sleep(1)\ndef g(): h()\nasync def f(): g()",
    "a_queue_that_is_asked_first": (
        "import queue\nq = queue.Queue()\nasync def f():\n  while not q.empty(): print(q.get())"
    ),
    "a_queue_that_need_not_hold_anything": "import queue\nq = queue.Queue()\nasync def f(): return q.get(block=False)",
    "a_process_that_is_polled_first": (
        "import asyncio, subprocess\nasync def f():\n  p = subprocess.Popen('ls')\n"
        "  while p.poll() is None: await asyncio.sleep(1)\n  return p.communicate()"
    ),
    "a_look_at_a_thread": "import threading\nasync def f(t: threading.Thread): t.join(timeout=0)",
    "a_result_that_was_awaited": (
        "import asyncio\nfrom concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor()\n"
        "async def f():\n  future = pool.submit(g)\n  await asyncio.wrap_future(future)\n  return future.result()"
    ),
    "an_attribute_of_unknown_origin": (
        "import requests\nclass C:\n  def __init__(self, s): self.s = s or requests.Session()\n"
        "  async def f(self): return self.s.get(url)"
    ),
    "an_attribute_with_two_origins": (
        "import httpx, requests\nclass C:\n  def a(self): self.s = requests.Session()\n"
        "  def b(self): self.s = httpx.AsyncClient()\n  async def f(self): return self.s.get(url)"
    ),
    "a_socket_that_the_class_set_up": (
        "import socket\nclass C:\n  def __init__(self): self.s = socket.socket()\n"
        "  async def f(self, a): self.s.connect(a)"
    ),
    "a_database_that_is_opened_at_the_start": "import sqlite3\nasync def init_db(): return sqlite3.connect('x.db')",
    "one_s_own_name_at_the_start": "import socket\nasync def setup(): return socket.getfqdn()",
    "a_small_file_in_a_script": "import argparse\nasync def f(p):\n  with open(p) as file: return file.read()",
    "a_small_file_in_all_of_a_program": (
        "import asyncio\nasync def f(p):\n  with open(p) as file: return file.read()\nasyncio.run(f('x'))"
    ),
    "a_process_in_a_command": "import click, subprocess\nasync def f(): subprocess.run(['ls'])",
    "a_function_that_asks_somebody": "async def ask_user(): return input()",
    "a_question_in_a_program_that_does_nothing_else": (
        "import asyncio\nasync def chat():\n  while True: await send(input())\nasyncio.run(chat())"
    ),
    "one_s_own_name": (
        "import socket\nasync def f(host):\n  if host == 'localhost': return socket.getaddrinfo(host, 80)"
    ),
    "code_for_the_world_without_a_loop": "import time\nasync def f():\n  if _IS_SYNC: time.sleep(1)\n  else: await g()",
    "a_thread_with_a_loop_of_its_own": (
        "import threading, time\nclass W(threading.Thread):\n  async def f(self): time.sleep(1)"
    ),
    "a_file_whose_opening_another_linter_was_told_about": (
        "async def f(p):\n  with open(p) as file:  # noqa: ASYNC230\n    return file.read()"
    ),
    "a_function_with_a_coroutine_for_the_other_world": (
        "import time\ndef g(f):\n  async def inner(): await f()\n  if is_async(f): return inner\n  time.sleep(1)\n"
        "async def f(): g(h)"
    ),
    "a_thread_that_has_said_it_is_done": (
        "import threading\nasync def f(loop):\n  done = loop.create_future()\n"
        "  t = threading.Thread(target=g, args=(done,))\n  t.start()\n  await done\n  t.join()"
    ),
    "a_question_in_a_command_whose_module_starts_tasks_elsewhere": (
        "import asyncio, click\n@click.command()\nasync def f(): return input()\n"
        "async def g():\n  t = asyncio.create_task(h())\n  await t"
    ),
    "a_url_that_holds_its_data": (
        "from urllib.request import urlopen\nasync def parse_data_url(url):\n  with urlopen(url) as x: return x.read()"
    ),
    "a_small_file_of_the_system": "from pathlib import Path\nasync def f(): return Path('/etc/hostname').read_text()",
    "a_file_of_the_program_itself": (
        "import os\nasync def f():\n  path = os.path.join(os.path.dirname(__file__), 'x.js')\n"
        "  with open(path) as file: return file.read()"
    ),
    "a_file_of_a_package": (
        "from importlib import resources\nasync def f():\n  with resources.as_file(resources.files('x')) as path:\n"
        "    with open(path) as file: return file.read()"
    ),
}


@pytest.mark.parametrize("code", BAD.values(), ids=BAD)
def test_a_blocking_call_in_a_coroutine_is_reported_once(code: str) -> None:
    """What waits without awaiting is a finding."""
    assert codes(code, "MB102") == ["MB102"]


@pytest.mark.parametrize("code", GOOD.values(), ids=GOOD)
def test_what_does_not_block_the_loop_is_not_reported(code: str) -> None:
    """Other functions, other threads and other names are left alone."""
    assert codes(code, "MB102") == []


def test_a_call_through_a_function_names_both() -> None:
    """The finding is at the call and says which line blocks."""
    (finding,) = findings(
        """
        import time
        def settle(seconds):
            time.sleep(seconds)
        async def main():
            settle(3)
        """,
        "MB102",
    )
    assert finding.line == 6
    assert "`settle(...)` in `main`" in finding.observation
    assert "`time.sleep(...)` (line 4) sleeps" in finding.observation
    assert "asyncio.to_thread(settle, ...)" in finding.recommendation


def test_the_disk_is_less_grave_than_the_network() -> None:
    """Severity follows what a call can cost."""
    code = "import time\nasync def f(p):\n  open(p).read()\n  time.sleep(1)"
    assert [finding.severity.value for finding in findings(code, "MB102")] == ["minor", "critical"]


@pytest.mark.parametrize(
    ("call", "severity"),
    [
        ("shutil.rmtree(p)", "minor"),
        ("shutil.copytree(p, q)", "major"),
        ("sqlite3.connect(p)", "major"),
        ("input()", "minor"),
        ("subprocess.run(p)", "critical"),
    ],
)
def test_the_severity_follows_what_is_waited_for(call: str, severity: str) -> None:
    """A file is not a tree of files, and a tree is not the network."""
    code = f"import shutil, sqlite3, subprocess\nasync def f(p, q): {call}"
    assert [finding.severity.value for finding in findings(code, "MB102")] == [severity]
