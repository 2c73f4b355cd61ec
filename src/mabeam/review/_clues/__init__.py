"""What rules ask about code, shared by several of them or large enough to stand alone. Nothing here knows a rule.

``_words`` writes code down for sentences, ``_naming`` goes by what functions are called, ``_surroundings`` by what a
coroutine runs beside. ``_blocking`` and its table recognise a blocking call; ``_handlers`` and ``_interruptions`` say what a
``try`` does with an exception and where one can arrive; ``_limits`` and ``_collections`` say how many items there are.
"""
