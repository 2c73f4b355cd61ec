"""MB103: Ctrl-C and `sys.exit()`."""

from __future__ import annotations

import pytest

from tests.review._snippets import codes, findings

BAD = {
    "a_bare_except": "def f():\n  try: g()\n  except: pass",
    "a_base_exception": "def f():\n  try: do_work()\n  except BaseException: return None",
    "a_base_exception_in_a_tuple": "def f():\n  try: g()\n  except (ValueError, BaseException): pass",
    "a_base_exception_that_is_logged": "def f():\n  try: g()\n  except BaseException as e: log.error('%s', e)",
    "a_logged_traceback": (
        "import traceback\ndef f():\n  try: g()\n  except: log.error(traceback.format_exc())"
    ),
    "a_suppressed_base_exception": (
        "from contextlib import suppress\ndef f():\n  with suppress(BaseException): g()"
    ),
    "an_exception_that_is_only_asked_about": (
        "def f():\n  try: g()\n  except BaseException as e:\n    if isinstance(e, OSError): print('x')"
    ),
    "a_base_exception_that_is_passed_over": "def f():\n  try: g()\n  except BaseException: pass",
    "a_bare_except_with_an_ordinary_remark": "def f():\n  try: g()\n  except:  # not there any more\n    pass",
    "a_return_in_a_finally": "def f():\n  try: g()\n  finally: return 1",
    "a_request_that_is_called_like_a_look_into_a_dictionary": (
        "import requests\ndef f(x):\n  try: y = requests.get(x)\n  except: y = ''\n  return y"
    ),
    "work_among_the_clean_up": "def f(x):\n  try:\n    x.close()\n    do_work()\n  except: pass",
    "a_clause_behind_a_comment_of_another_block": (
        "def f(x):\n  if x:\n    # pylint: disable=bare-except\n    h()\n  try: g()\n  except: pass"
    ),
    "a_clause_behind_a_comment_about_something_else": (
        "def f():\n  # pylint: disable=W0212\n  try: g()\n  except: pass"
    ),
    "a_program_that_goes_on": ("def main():\n  try: do_work()\n  except: pass\n  do_more()"),
    "a_program_that_begins_again": ("def main():\n  while busy():\n    try: do_work()\n    except: pass"),
    "a_module_that_is_imported": ("try: do_work()\nexcept: x = 1"),
    "a_return_before_nothing_in_particular": (
        "def f(x):\n  try: x.load()\n  except BaseException:\n    log.exception('no')\n    return\n  x.show()"
    ),
    "a_block_whose_own_guard_lets_it_through": (
        "def f(x):\n  try:\n    try: do_work(x)\n    except:\n      undo(x)\n      raise\n  except: return None"
    ),
    "a_clause_accepted_for_something_else": ("def f():\n  try: g()\n  except:  # noqa: S110\n    pass"),
    "one_of_two_clauses_around_the_same_work": (
        "def f(x):\n  try:\n    try: do_work(x)\n    except: x = ''\n    return x.strip()\n  except: return None"
    ),
    "work_of_an_object_that_is_made_for_it": (
        "def f(x):\n  try: Worker(x).do_work()\n  except: return False\n  return True"
    ),
    "a_branch_that_always_runs": ("def f(x):\n  if True:\n    try: do_work(x)\n    except: pass"),
}

GOOD = {
    "an_ordinary_exception": "def f():\n  try: g()\n  except Exception: pass",
    "raising_again": "def f():\n  try: g()\n  except BaseException:\n    undo()\n    raise",
    "raising_on_a_condition": "def f():\n  try: g()\n  except:\n    if not quiet: raise",
    "logging_and_raising": "def f():\n  try: g()\n  except BaseException as e:\n    log.error(e)\n    raise",
    "leaving_the_program": "import sys\ndef f():\n  try: g()\n  except BaseException: sys.exit(1)",
    "leaving_a_fork": "import os\ndef f():\n  try: g()\n  except: print('x')\n  finally: os._exit(1)",
    "handing_on_to_a_future": "def f(x):\n  try: g()\n  except BaseException as e: x.set_exception(e)",
    "handing_on_to_a_queue": "def f(q):\n  try: g()\n  except BaseException as e: q.put(e)",
    "storing": "class C:\n  def f(self):\n    try: g()\n    except BaseException as e: self.error = e",
    "storing_the_first": (
        "def f():\n  first = None\n  try: g()\n  except BaseException as e:\n"
        "    if first is None: first = e\n  return first"
    ),
    "returning": "def f():\n  try: g()\n  except BaseException as e: return e",
    "the_exception_hook": "import sys\ndef f():\n  try: g()\n  except: sys.excepthook(*sys.exc_info())",
    "a_method_that_deals_with_errors": "class C:\n  def f(self):\n    try: g()\n    except: self.handle_error()",
    "a_test_that_fails": "class C:\n  def f(self):\n    try: g()\n    except: self.fail('x')",
    "exits_caught_before": (
        "def f():\n  try: g()\n  except (KeyboardInterrupt, SystemExit): raise\n  except: pass"
    ),
    "the_outcome_of_a_task": "def f(t):\n  try: t.result()\n  except BaseException: pass",
    "a_class_of_the_same_name": (
        "class BaseException: ...\ndef f():\n  try: g()\n  except BaseException: pass"
    ),
    "the_end_of_an_object": "class C:\n  def __del__(self):\n    try: g()\n    except: pass",
    "the_main_function_of_a_thread": (
        "import threading\ndef work():\n  try: g()\n  except BaseException: log.exception('x')\n"
        "def start(): return threading.Thread(target=work)"
    ),
    "on_the_way_out_already": (
        "def f():\n  try: g()\n  except BaseException:\n    try: undo()\n    except BaseException: pass\n    raise"
    ),
    "closing_something": "def f(x):\n  try: x.close()\n  except: pass",
    "something_quick": "def f(x):\n  try: return int(x.split(':')[0])\n  except: return 0",
    "an_optional_import": "try:\n  import fast\nexcept:\n  fast = None",
    "foreign_code": "def f(x):\n  try: return eval(x)\n  except BaseException: return None",
    "a_console": "import cmd\nclass C(cmd.Cmd):\n  def f(self):\n    try: g()\n    except: return",
    "a_function_about_an_error": (
        "def f(error: BaseException):\n  try: report(error)\n  except BaseException: pass"
    ),
    "an_answer_with_the_error_in_it": (
        "def f(answers):\n  try: g()\n  except BaseException as e: answers.append(f'failed: {e}')"
    ),
    "a_status": "def main():\n  try: g()\n  except:\n    print('x')\n    return 1",
    "a_clause_that_another_linter_was_told_about": "def f():\n  try: g()\n  except:  # noqa: E722\n    pass",
    "a_block_that_only_raises": "def f():\n  try: raise ValueError(1)\n  except: x = 2",
    "a_block_that_calls_nothing": "def f():\n  try: x = 1\n  except: x = 2",
    "a_base_exception_with_the_reason_beside_it": (
        "def f():\n  try: g()\n  except BaseException:\n    # The extension panics with exceptions of its own.\n    pass"
    ),
    "a_base_exception_with_a_default": "def f(x):\n  try: return describe(x)\n  except BaseException: return ''",
    "telling_others_to_stop": "def f(stopping):\n  try: g()\n  except BaseException: stopping.set()",
    "a_verdict_that_is_told_later": (
        "def f():\n  failed = False\n  try: g()\n  except: failed = True\n  return failed"
    ),
    "ending_what_was_started": "def f(worker):\n  try: worker.join()\n  except: worker.terminate()",
    "a_signal_to_oneself": (
        "import signal\ndef f():\n  try: g()\n  except BaseException: signal.raise_signal(signal.SIGTERM)"
    ),
    "a_clause_that_any_linter_was_told_about": "def f():\n  try: g()\n  except:  # noqa\n    pass",
    "a_clause_that_another_linter_was_told_about_before": (
        "def f():\n  try: g()\n  # pylint: disable-next=bare-except\n  except:\n    pass"
    ),
    "a_return_in_a_finally_after_everything_was_caught": (
        "def f():\n  try: g()\n  except:  # noqa\n    log.exception('x')\n  finally: return 1"
    ),
    "a_return_in_the_finally_of_a_thread": (
        "import threading\nclass W(threading.Thread):\n  def run(self):\n    try: g()\n    finally: return"
    ),
    "a_return_of_another_function_in_a_finally": (
        "def f():\n  try: g()\n  finally:\n    def h(): return 1\n    later(h)"
    ),
    "a_plugin": "def f(name):\n  try: load_extension(name)\n  except: log.exception(name)",
    "a_date": "import datetime\ndef f(x):\n  try: return datetime.datetime.strptime(x, '%Y')\n  except: return None",
    "what_somebody_calls_back": "def on_close(page):\n  try: forget(page)\n  except BaseException: pass",
    "a_look_into_a_dictionary": "def f(x):\n  try: y = x.get('a').strip()\n  except: y = ''\n  return y",
    "a_question_with_a_quick_answer": "def f(x):\n  try: y = colour_of(x)\n  except: y = ''\n  return y",
    "nothing_but_a_line_in_a_log": "def f(x):\n  try: logger.info('%s', x)\n  except: pass",
    "the_main_function_of_a_thread_with_an_argument": (
        "import functools, threading\ndef work(x):\n  try: do_work(x)\n  except BaseException: log.exception('x')\n"
        "def start(): return threading.Thread(target=functools.partial(work, 1))"
    ),
    "a_return_in_a_finally_that_answers_whether_the_exception_goes_on": (
        "class C:\n  def __exit__(self, *a):\n    try: g()\n    finally: return True"
    ),
    "a_return_in_a_finally_with_the_reason_beside_it": (
        "def f():\n  try: g()\n  finally:\n    return 1  # the answer has to be sent, whatever went wrong"
    ),
    "a_block_that_another_linter_was_told_about": (
        "def f():\n  # pylint: disable=W0702\n  try: g()\n  except: pass"
    ),
    "a_module_that_another_linter_was_told_about": (
        "# pylint: disable=bare-except\n\ndef f():\n  try: g()\n  except: pass"
    ),
    "a_setting": "def f(x):\n  try: x.setTcpNoDelay(True)\n  except: pass",
    "the_end_of_a_program": (
        "import asyncio\ndef main():\n  prepare()\n  try: asyncio.run(work())\n  except: pass"
    ),
    "the_end_of_a_script": ("if __name__ == '__main__':\n  try: do_work()\n  except: print('ended')"),
    "a_server_that_does_not_come_up": (
        "def f(loop):\n  try: x = loop.run_until_complete(start_it())\n  except BaseException:\n    log.exception('no')\n    return\n  loop.run_forever()"
    ),
    "a_clause_that_any_linter_was_told_about_with_a_word": (
        "def f():\n  try: g()\n  except:  # noqa it has to go on\n    pass"
    ),
    "a_question_about_an_answer": ("def f(x):\n  try: x.raise_for_status()\n  except: return None"),
    "a_value_that_is_tried_out": ("def f(x):\n  try: ObjectId(x)\n  except: return False\n  return True"),
    "a_folder_that_goes": ("import os\ndef f(x):\n  try: os.rmdir(x)\n  except: log.warning('left')"),
    "a_branch_that_never_runs": ("def f(x):\n  if False:\n    try: do_work(x)\n    except: pass"),
    "an_attribute_that_is_added": ("def f(x):\n  try: x._add_agent_attribute('a', x.name)\n  except: pass"),
    "a_word_on_the_screen": ("def f(x):\n  try: x.addstr(0, 0, 'a')\n  except: pass"),
}


@pytest.mark.parametrize("code", BAD.values(), ids=BAD)
def test_a_swallowed_exit_is_reported_once(code: str) -> None:
    """What ends a program must not end in a handler."""
    assert codes(code, "MB103") == ["MB103"]


@pytest.mark.parametrize("code", GOOD.values(), ids=GOOD)
def test_an_exit_that_goes_on_is_not_reported(code: str) -> None:
    """Raising, exiting, keeping and handing on are fine, and so is what is over at once."""
    assert codes(code, "MB103") == []


def test_a_bare_except_in_a_plain_function_is_minor() -> None:
    """It can lose an exit, which is rare."""
    (finding,) = findings(BAD["a_bare_except"], "MB103")
    assert finding.severity == "minor"
    assert finding.observation.startswith("`except:` in `f` also catches KeyboardInterrupt")
