"""The books of the team: every file counts once."""

from __future__ import annotations

from mabeam.kernel import Crashed, Killed
from mabeam.review import ErrorKind, FileError, Finding, InjectedCrash, ListedFile, Listing, Severity
from mabeam.review._books import Crashes, Results, in_words

A, B = ListedFile("a.py", "a.py"), ListedFile("b.py", "b.py")
FINDING = Finding("a.py", 1, 1, "MB101", Severity.MAJOR, "Title", "Seen.", "Bad.", "Better.")


def results(*files: ListedFile) -> Results:
    """Books that expect these files."""
    books = Results()
    books.expect(Listing(files=files, errors=(), missing=()))
    return books


def test_there_is_no_report_before_every_file_is_accounted_for() -> None:
    """Nor before it is known which files there are."""
    assert Results().report() is None
    books = results(A, B)
    assert books.add(A, (FINDING,))
    assert books.report() is None
    assert books.add(B, FileError("b.py", ErrorKind.UNPARSABLE, "line 1: no"))
    report = books.report()
    assert report is not None
    assert (report.files, report.findings, len(report.errors)) == (2, (FINDING,), 1)


def test_what_is_handed_in_twice_counts_once() -> None:
    """A reviewer may die between delivering and being told so."""
    books = results(A)
    assert books.add(A, (FINDING,))
    assert not books.add(A, (FINDING,))
    assert not books.give_up(A, "it broke")
    report = books.report()
    assert report is not None
    assert (report.findings, report.errors) == ((FINDING,), ())


def test_a_file_that_is_given_up_is_an_error_with_the_last_reason() -> None:
    """The user learns that it was not reviewed, and why."""
    books = results(A)
    assert books.give_up(A, "KeyError: 1")
    report = books.report()
    assert report is not None
    (error,) = report.errors
    assert (error.file, error.kind) == ("a.py", ErrorKind.GIVEN_UP)
    assert error.message.endswith("with KeyError: 1")


def test_a_file_may_be_tried_again_until_it_has_crashed_three_times_by_itself() -> None:
    """Crashes on purpose are not held against it."""
    crashes = Crashes()
    broken, chaos = Crashed(KeyError(1)), Crashed(InjectedCrash("a.py"))
    assert [crashes.count(A, reason) for reason in (chaos, broken, broken)] == [True, True, True]
    assert crashes.count(B, Killed())
    assert not crashes.count(A, broken)
    assert (crashes.injected, crashes.others) == (1, 4)


def test_a_reason_is_the_same_in_every_run() -> None:
    """One line, and no address of an object."""
    assert in_words(Crashed(ValueError("a\nb <C object at 0x7f00>"))) == "ValueError: a b <C object>"
    assert in_words(Crashed(TimeoutError())) == "TimeoutError"
    assert in_words(Killed()) == repr(Killed())
