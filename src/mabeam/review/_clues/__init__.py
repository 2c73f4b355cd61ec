"""What rules ask about code, shared by several of them or large enough to stand alone. Nothing here knows a rule.

Of all rules: ``_words`` writes code down for sentences, ``_naming`` goes by what functions are called, ``_functions`` finds the
function behind a call, ``_loops`` looks at loops and at what comes after a place, ``_branches`` tells what never runs.

Of blocking calls: ``_blocking`` recognises one by its ``_blocking_table``, by the ``_blocking_values`` it is made on, and by the
``_harmless_calls`` that only look like it.

Of what runs beside: ``_surroundings`` tells tasks and threads, ``_programs`` the places where hardly anything else runs.

Of exceptions: ``_handlers`` says what a clause does with one, ``_interruptions`` and ``_exits`` where a cancellation or Ctrl-C
can arrive, ``_endings`` what becomes of the coroutine afterwards, ``_quick_calls`` what is over before.

Of numbers: ``_limits`` looks for a limit, ``_data`` for a collection that has none. Of threads: ``_thread_ends`` for the end,
``_lasting`` for the loops and servers that live as long as the program.
"""
