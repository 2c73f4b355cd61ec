"""MB101."""

from __future__ import annotations

import pytest

from tests.review._snippets import codes, findings

BAD = {
    "a_task_as_a_statement": """
        import asyncio
        async def f(): asyncio.create_task(g())
    """,
    "an_ensured_coroutine_as_a_statement": """
        import asyncio
        async def f(self): asyncio.ensure_future(self.g(1))
    """,
    "the_running_loop_asked_in_place": """
        import asyncio
        def f(): asyncio.get_running_loop().create_task(g())
    """,
    "a_loop_in_an_attribute": """
        class C:
            def f(self): self.loop.create_task(self.g())
    """,
    "a_loop_in_a_variable": """
        from asyncio import get_event_loop
        def f():
            it = get_event_loop()
            it.create_task(g())
    """,
    "a_handle_in_the_underscore": """
        import asyncio
        async def f(): _ = asyncio.create_task(g())
    """,
    "a_handle_that_nobody_reads": """
        import asyncio
        async def f():
            task = asyncio.create_task(g())
            await asyncio.sleep(1)
    """,
    "an_annotated_handle_that_nobody_reads": """
        import asyncio
        async def f():
            task: asyncio.Task[None] = asyncio.create_task(g())
    """,
    "a_list_of_tasks_as_a_statement": """
        import asyncio
        async def f(): [asyncio.create_task(g(x)) for x in range(3)]
    """,
    "an_alias_of_the_module": """
        import asyncio as aio
        async def f(): aio.create_task(g())
    """,
    "an_alias_of_the_function": """
        from asyncio import create_task as spawn
        async def f(): spawn(g())
    """,
    "an_alias_by_assignment": """
        import asyncio
        spawn = asyncio.create_task
        async def f(): spawn(g())
    """,
    "the_module_where_it_is_defined": """
        from asyncio.tasks import create_task
        async def f(): create_task(g())
    """,
    "an_import_inside_the_function": """
        async def f():
            import asyncio
            asyncio.create_task(g())
    """,
    "the_only_star_import": """
        from asyncio import *
        async def f(): create_task(g())
    """,
    "a_lambda_that_a_signal_calls": """
        import asyncio, signal
        def f(loop, app): loop.add_signal_handler(signal.SIGTERM, lambda: asyncio.create_task(app.stop()))
    """,
    "the_starter_given_to_the_loop": """
        import asyncio
        def f(loop): loop.call_soon_threadsafe(asyncio.create_task, g())
    """,
    "a_method_of_the_loop_given_to_the_loop": """
        class C:
            def f(self): self.loop.call_later(1, self.loop.create_task, self.g())
    """,
    "a_loop_that_the_class_makes": """
        import asyncio
        class C:
            def __init__(self): self.runner = asyncio.new_event_loop()
            def f(self): self.runner.create_task(g())
    """,
}

GOOD = {
    "an_awaited_task": """
        import asyncio
        async def f(): await asyncio.create_task(g())
    """,
    "a_handle_that_is_awaited_later": """
        import asyncio
        async def f():
            task = asyncio.create_task(g())
            await task
    """,
    "a_handle_read_by_a_nested_function": """
        import asyncio
        async def f():
            task = asyncio.create_task(g())
            def stop(): task.cancel()
            return stop
    """,
    "a_returned_task": """
        import asyncio
        def f(): return asyncio.create_task(g())
    """,
    "a_task_returned_by_a_lambda": """
        import asyncio
        start = lambda: asyncio.create_task(g())
    """,
    "a_stored_task": """
        import asyncio
        class C:
            def f(self): self.task = asyncio.create_task(g())
    """,
    "a_task_added_to_a_set": """
        import asyncio
        def f(tasks): tasks.add(asyncio.create_task(g()))
    """,
    "a_task_with_a_callback": """
        import asyncio
        def f(): asyncio.create_task(g()).add_done_callback(print)
    """,
    "a_task_group": """
        import asyncio
        async def f():
            async with asyncio.TaskGroup() as tg:
                tg.create_task(g())
    """,
    "a_task_group_that_is_called_loop": """
        import asyncio
        async def f():
            async with asyncio.TaskGroup() as loop:
                loop.create_task(g())
    """,
    "something_else_with_the_same_method": """
        class C:
            def f(self): self.nursery.create_task(g())
    """,
    "a_future_that_was_there_before": """
        import asyncio
        def f(future): asyncio.ensure_future(future)
    """,
    "a_global_handle": """
        import asyncio
        task = None
        def f():
            global task
            task = asyncio.create_task(g())
    """,
    "a_statement_that_a_test_expects_to_fail": """
        import asyncio, pytest
        def test_f():
            with pytest.raises(RuntimeError):
                asyncio.create_task(g())
    """,
    "a_relative_import": """
        from .compat import create_task
        async def f(): create_task(g())
    """,
    "a_parameter_of_the_same_name": """
        import asyncio
        async def f(asyncio): asyncio.create_task(g())
    """,
    "a_function_of_the_same_name": """
        def create_task(coroutine): ...
        async def f(): create_task(g())
    """,
    "a_name_with_two_meanings": """
        try:
            from asyncio import create_task
        except ImportError:
            from trollius import create_task
        async def f(): create_task(g())
    """,
    "a_star_import_next_to_another": """
        from asyncio import *
        from .compat import *
        async def f(): create_task(g())
    """,
    "a_lambda_for_somebody_who_may_keep_the_task": """
        import asyncio
        def f(on_start): on_start(lambda: asyncio.create_task(g()))
    """,
    "another_callback_of_the_loop": """
        def f(loop): loop.call_soon(print, 1)
    """,
    "an_attribute_that_the_class_makes_something_else": """
        import asyncio
        class C:
            def __init__(self): self.loop = asyncio.TaskGroup()
            def f(self): self.loop.create_task(g())
    """,
    "a_start_that_another_linter_was_told_about": """
        import asyncio
        async def f():
            asyncio.create_task(g())  # ruff: ignore[asyncio-dangling-task]
    """,
}


@pytest.mark.parametrize("code", BAD.values(), ids=BAD)
def test_a_dropped_handle_is_reported_once(code: str) -> None:
    """A task that only the event loop knows is a finding."""
    assert codes(code, "MB101") == ["MB101"]


@pytest.mark.parametrize("code", GOOD.values(), ids=GOOD)
def test_an_owned_task_is_not_reported(code: str) -> None:
    """A handle that goes anywhere has an owner."""
    assert codes(code, "MB101") == []


def test_the_observation_names_the_call_and_the_place() -> None:
    """The reader finds his own names in it."""
    (finding,) = findings(
        """
        import asyncio
        class Hub:
            def start(self):
                asyncio.create_task(self.poll(1))
        """,
        "MB101",
    )
    assert finding.observation == (
        "`asyncio.create_task(self.poll(...))` in `Hub.start` starts a task and drops its handle."
    )
    assert (finding.line, finding.column, finding.severity) == (5, 9, "major")


def test_the_observation_names_the_starter_that_the_loop_is_given() -> None:
    """Nothing is started on that line: the loop does it later."""
    (finding,) = findings(BAD["the_starter_given_to_the_loop"], "MB101")
    assert finding.observation == (
        "`loop.call_soon_threadsafe(...)` in `f` has the loop call `asyncio.create_task`, which starts a task, and drops its "
        "handle."
    )
