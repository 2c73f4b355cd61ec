"""Benchmarks: mabeam beside its peers, in one run on one machine, as ratios.

``python -m benchmarks kernel`` measures; ``make bench`` installs the peers first. Nothing here is ever part of a timed test.

A suite is a package of its own: a ``SUITE`` made of measures and subjects (``_suite.py``), with a file for each subject whose
``MEASURES`` are functions by name. Each is given its ``Rounds``, counts what it did with ``check``, and returns the samples of
its figures. A new suite is entered in ``_suite.SUITES``, and its promises in ``_budget.BUDGETS``.
"""
