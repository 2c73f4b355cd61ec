"""MB104."""

from __future__ import annotations

import pytest

from tests.review._snippets import codes, findings

BAD = {
    "gathering_a_list": "import asyncio\nasync def f(urls): await asyncio.gather(*[fetch(u) for u in urls])",
    "gathering_in_a_main_function": (
        "import asyncio\nasync def main(urls): await asyncio.gather(*[fetch(u) for u in urls])"
    ),
    "gathering_a_generator": "import asyncio\nasync def f(urls): await asyncio.gather(*(fetch(u) for u in urls))",
    "gathering_a_map": "import asyncio\nasync def f(urls): await asyncio.gather(*map(fetch, urls))",
    "gathering_a_variable": (
        "from asyncio import gather\nasync def f(urls):\n  work = [fetch(u) for u in urls]\n  await gather(*work)"
    ),
    "gathering_tasks": (
        "import asyncio\nasync def f(urls):\n"
        "  await asyncio.gather(*[asyncio.create_task(fetch(u)) for u in urls])"
    ),
    "gathering_waits": (
        "import asyncio\nasync def f(urls): await asyncio.gather(*[asyncio.wait_for(fetch(u), 1) for u in urls])"
    ),
    "gathering_what_a_loop_appended": (
        "import asyncio\nasync def fetch(u): ...\nasync def f(urls):\n  work = []\n"
        "  for u in urls: work.append(fetch(u))\n  await asyncio.gather(*work)"
    ),
    "waiting_for_a_list": (
        "import asyncio\nasync def f(urls): await asyncio.wait([asyncio.create_task(fetch(u)) for u in urls])"
    ),
    "as_completed": (
        "import asyncio\nasync def f(urls):\n  for r in asyncio.as_completed([fetch(u) for u in urls]): await r"
    ),
    "tasks_in_a_loop": (
        "import asyncio\nasync def f(urls):\n  ts = []\n"
        "  for u in urls: ts.append(asyncio.create_task(fetch(u)))\n  await asyncio.wait(ts)"
    ),
    "a_task_group_in_a_loop": (
        "import asyncio\nasync def f(urls):\n  async with asyncio.TaskGroup() as tg:\n"
        "    for u in urls: tg.create_task(fetch(u))"
    ),
    "another_task_group_in_a_loop": (
        "import anyio\nasync def f(urls):\n  async with anyio.create_task_group() as tg:\n"
        "    for u in urls: tg.start_soon(fetch, u)"
    ),
    "a_stream": (
        "import asyncio\nasync def f(stream):\n  async with asyncio.TaskGroup() as tg:\n"
        "    async for message in stream: tg.create_task(handle(message))"
    ),
    "every_index_of_a_list": (
        "import asyncio\nasync def f(urls): await asyncio.gather(*[fetch(urls[i]) for i in range(len(urls))])"
    ),
    "pages_of_a_caller": "import asyncio\nasync def f(pages): await asyncio.gather(*[scrape(p) for p in pages])",
    "what_a_database_holds": (
        "import asyncio\nasync def f(db):\n  found = await db.fetch_all('select 1')\n"
        "  await asyncio.gather(*[refresh(x) for x in found])"
    ),
    "the_keys_of_a_pattern": (
        "import asyncio\nasync def f(db):\n  keys = await db.keys('job:*')\n"
        "  await asyncio.gather(*[load_job(k) for k in keys])"
    ),
    "the_files_of_a_tree": (
        "import asyncio, os\nasync def f(top):\n  work = []\n  for root, dirs, files in os.walk(top):\n"
        "    for name in files: work.append(asyncio.create_task(load(name)))\n  await asyncio.gather(*work)"
    ),
    "hosts_of_a_caller_over_the_network": (
        "import asyncio\nasync def f(hosts): await asyncio.gather(*[ping(h) for h in hosts])"
    ),
    "a_private_function_that_is_given_whatever_comes": (
        "import asyncio\nasync def _all(urls): await asyncio.gather(*[fetch(u) for u in urls])\n"
        "async def f(urls): await _all(urls)"
    ),
    "data_of_a_caller": "import asyncio\nasync def f(records): await asyncio.gather(*[fetch(r) for r in records])",
    "a_function_that_is_given_a_batch_and_whatever_comes": (
        "import asyncio\nasync def all_of(urls): await asyncio.gather(*[fetch(u) for u in urls])\n"
        "async def f(urls): await all_of(urls[:10])\nasync def g(urls): await all_of(urls)"
    ),
    "what_a_caller_may_choose_instead_of_what_is_written_here": (
        "import asyncio\nasync def f(urls):\n  if not urls: urls = ['a', 'b']\n"
        "  await asyncio.gather(*[fetch(u) for u in urls])"
    ),
    "work_that_threads_do_in_part": (
        "import asyncio\nasync def embed(text):\n  found = await ask(text)\n  return await asyncio.to_thread(work, found)\nasync def f(texts): return await asyncio.gather(*[embed(text) for text in texts])"
    ),
    "a_literal_that_only_stands_in": (
        "import asyncio\nasync def f(path):\n  urls = open(path).readlines()\n  if not urls:\n    urls = ['a', 'b']\n  return await asyncio.gather(*[fetch(url) for url in urls])"
    ),
    "messages_over_many_connections": (
        "import asyncio\nasync def f(mailer, messages): await asyncio.gather(*[mailer.send(message) for message in messages])"
    ),
}

GOOD = {
    "two_calls": "import asyncio\nasync def f(): await asyncio.gather(g(), h())",
    "existing_tasks": "import asyncio\nasync def f(tasks): await asyncio.gather(*tasks)",
    "existing_futures": (
        "import asyncio\nasync def f(xs): await asyncio.gather(*[asyncio.wrap_future(x) for x in xs])"
    ),
    "a_literal": "import asyncio\nasync def f(): await asyncio.gather(*[fetch(u) for u in ('a', 'b')])",
    "a_constant": (
        "import asyncio\nURLS = ['a', 'b']\nasync def f(): await asyncio.gather(*[fetch(u) for u in URLS])"
    ),
    "a_range": "import asyncio\nasync def f(n): await asyncio.gather(*[fetch(i) for i in range(n)])",
    "a_slice": "import asyncio\nasync def f(urls): await asyncio.gather(*[fetch(u) for u in urls[:10]])",
    "a_batch": "import asyncio\nasync def f(batch): await asyncio.gather(*[fetch(u) for u in batch])",
    "a_semaphore_around": (
        "import asyncio\nasync def f(urls):\n  semaphore = asyncio.Semaphore(3)\n"
        "  async def one(u):\n    async with semaphore: await fetch(u)\n"
        "  await asyncio.gather(*[one(u) for u in urls])"
    ),
    "a_limiter_in_the_coroutine": (
        "import asyncio\nclass C:\n  async def one(self, u):\n    async with self.limiter: await fetch(u)\n"
        "  async def f(self, urls): await asyncio.gather(*[self.one(u) for u in urls])"
    ),
    "a_thread_pool": (
        "import asyncio\nasync def f(paths): await asyncio.gather(*[asyncio.to_thread(load, p) for p in paths])"
    ),
    "closing_what_lives": "import asyncio\nasync def f(xs): await asyncio.gather(*[x.close() for x in xs])",
    "a_function_that_shuts_down": (
        "import asyncio\nasync def aclose(users): await asyncio.gather(*[say_goodbye(u) for u in users])"
    ),
    "the_parts_of_a_program": (
        "import asyncio\nclass C:\n  async def f(self):\n    async with asyncio.TaskGroup() as tg:\n"
        "      for plugin in self.plugins: tg.create_task(self.load(plugin))"
    ),
    "a_loop_that_waits_for_room": (
        "import asyncio\nasync def f(urls, room):\n  async with asyncio.TaskGroup() as tg:\n"
        "    for u in urls:\n      await room.acquire()\n      tg.create_task(fetch(u))"
    ),
    "a_loop_that_stops_after_one": (
        "import asyncio\nasync def f(urls):\n  async with asyncio.TaskGroup() as tg:\n"
        "    for u in urls:\n      tg.create_task(fetch(u))\n      break"
    ),
    "workers_that_read_a_queue": (
        "import asyncio\nasync def f(queue):\n  async with asyncio.TaskGroup() as tg:\n"
        "    for _ in range(8): tg.create_task(work(queue))"
    ),
    "variable_arguments": "import asyncio\nasync def f(*urls): await asyncio.gather(*[fetch(u) for u in urls])",
    "something_of_unknown_size": "import asyncio\nasync def f(hooks): await asyncio.gather(*[g(h) for h in hooks])",
    "groups": (
        "import asyncio\nasync def f(by_node): await asyncio.gather(*[fetch(k, v) for k, v in by_node.items()])"
    ),
    "a_look_into_a_cache": (
        "import asyncio\nasync def f(ids): await asyncio.gather(*[invalidate_cache(i) for i in ids])"
    ),
    "a_stream_that_waits_each_turn": (
        "import asyncio\nasync def f(stream, old):\n  async for change in stream:\n    await old.close()\n"
        "    tasks.add(asyncio.create_task(serve_once(change)))"
    ),
    "another_gather": "from .tools import gather\nasync def f(urls): await gather(*[fetch(u) for u in urls])",
    "a_gather_in_a_parameter": "async def f(gather, urls): await gather(*[fetch(u) for u in urls])",
    "what_was_cut_to_size": (
        "import asyncio\nasync def f(urls):\n  urls = urls[:10]\n  await asyncio.gather(*[fetch(u) for u in urls])"
    ),
    "a_handful_that_was_made_here": (
        "import asyncio\nasync def f():\n  files = choose()\n  await asyncio.gather(*[load(x) for x in files])"
    ),
    "what_was_configured": "import asyncio\nasync def f(base_urls): await asyncio.gather(*[fetch(u) for u in base_urls])",
    "what_a_function_named_small_gives": (
        "import asyncio\nasync def f(c): await asyncio.gather(*[fetch(u) for u in c.get_agent_users()])"
    ),
    "parts_of_one_question": (
        "import asyncio\nasync def f(sub_queries): await asyncio.gather(*[search(q) for q in sub_queries])"
    ),
    "things_of_a_house": (
        "import asyncio\nclass C:\n  async def f(self): await asyncio.gather(*[fetch(d) for d in self.devices])"
    ),
    "hosts_of_a_caller_and_no_network": (
        "import asyncio\nasync def f(hosts): await asyncio.gather(*[describe(h) for h in hosts])"
    ),
    "a_coroutine_that_never_waits": (
        "import asyncio\nasync def one(u): return parse_all(u)\n"
        "async def f(urls): await asyncio.gather(*[one(u) for u in urls])"
    ),
    "the_first_answer": (
        "import asyncio\nasync def f(urls):\n"
        "  for first in asyncio.as_completed([fetch(u) for u in urls]): return await first"
    ),
    "a_parameter_that_says_how_many": (
        "import asyncio\nasync def f(urls, max_pages):\n  await asyncio.gather(*[fetch(u) for u in choose(urls)])"
    ),
    "a_private_function_that_is_given_slices": (
        "import asyncio\nasync def _all(urls): await asyncio.gather(*[fetch(u) for u in urls])\n"
        "async def f(urls): await _all(urls[:10])"
    ),
    "what_a_configuration_holds": (
        "import asyncio\nclass C:\n  async def f(self): await asyncio.gather(*[fetch(u) for u in self.config.urls])"
    ),
    "data_that_was_chosen_here": (
        "import asyncio\nasync def f():\n  records = choose()\n  await asyncio.gather(*[fetch(r) for r in records])"
    ),
    "a_function_that_is_given_a_url_for_each_shard": (
        "import asyncio\nclass C:\n  async def run(self, urls):\n    for n, u in enumerate(urls):\n"
        "      tasks.append(asyncio.create_task(fetch(u)))\n"
        "  async def f(self):\n    urls = [str(shard) for shard in self.shards]\n    await self.run(urls)"
    ),
    "a_private_function_that_is_given_what_was_made_here": (
        "import asyncio\nasync def _all(paths): await asyncio.gather(*[upload(p) for p in paths])\n"
        "async def f(request):\n  written = save(request)\n  await _all(written)"
    ),
    "work_that_is_done_by_the_threads_of_a_pool": (
        "import asyncio\nasync def embed(text):\n  loop = asyncio.get_running_loop()\n  return await loop.run_in_executor(None, work, text)\nasync def f(texts): return await asyncio.gather(*[embed(text) for text in texts])"
    ),
    "a_name_that_stands_for_a_literal_by_now": (
        "import asyncio\nasync def f():\n  urls = ['a', 'b']\n  first = await asyncio.gather(*[fetch(url) for url in urls])\n  urls = first"
    ),
    "messages_over_one_connection": (
        "import asyncio\nasync def f(ws, messages): await asyncio.gather(*[ws.send_str(message) for message in messages])"
    ),
}


@pytest.mark.parametrize("code", BAD.values(), ids=BAD)
def test_an_open_fan_out_is_reported_once(code: str) -> None:
    """One task per item of whatever comes is a finding."""
    assert codes(code, "MB104") == ["MB104"]


@pytest.mark.parametrize("code", GOOD.values(), ids=GOOD)
def test_a_bounded_fan_out_is_not_reported(code: str) -> None:
    """A number in the code, a limiter, or nothing that is started: no finding."""
    assert codes(code, "MB104") == []


def test_the_observation_names_what_is_started_and_for_what() -> None:
    """The reader sees which collection needs the limit."""
    (finding,) = findings(BAD["gathering_a_list"], "MB104")
    assert (
        finding.observation == "`asyncio.gather` in `f` starts `fetch(...)` for every item of `urls` at once."
    )


@pytest.mark.parametrize(("name", "severity"), [("fetch", "major"), ("describe", "minor")])
def test_what_reaches_out_is_graver(name: str, severity: str) -> None:
    """The other side feels a thousand requests, and nobody else feels a thousand tasks."""
    code = f"import asyncio\nasync def f(urls): await asyncio.gather(*[{name}(u) for u in urls])"
    assert [finding.severity.value for finding in findings(code, "MB104")] == [severity]


def test_waiting_twice_for_the_same_tasks_is_one_finding() -> None:
    """The second wait starts nothing."""
    code = """
        import asyncio
        async def f(urls):
            tasks = [asyncio.create_task(fetch(u)) for u in urls]
            await asyncio.wait(tasks)
            await asyncio.gather(*tasks)
    """
    assert [finding.line for finding in findings(code, "MB104")] == [5]
