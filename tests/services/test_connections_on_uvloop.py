"""The same on the loop that ``mabeam.run`` uses: what is about sockets, and about who lets go of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.services import (
    test_connection_callers as callers,
)
from tests.services import (
    test_connection_end as ends,
)
from tests.services import (
    test_connection_failures as failures,
)
from tests.services import (
    test_connection_limits as limits,
)
from tests.services import (
    test_connection_tls as tls,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("uvloop")

SCENES = [
    callers.test_a_thousand_callers_that_are_killed_at_any_moment_leave_nothing,
    callers.test_one_that_is_killed_while_connecting_leaves_no_socket,
    callers.test_on_a_shared_connection_a_caller_that_is_killed_harms_no_other,
    ends.test_killed_it_closes_everything_at_once,
    ends.test_what_is_not_done_in_time_is_cut,
    failures.test_a_server_that_takes_nothing_is_given_up_after_the_write_timeout,
    failures.test_a_server_that_is_not_there_is_told,
    limits.test_an_answer_comes_no_faster_than_it_is_read,
    limits.test_an_idle_connection_that_the_server_closes_is_gone,
    tls.test_a_server_that_nobody_vouches_for_is_refused,
    tls.test_many_requests_share_an_http2_connection,
]


@pytest.mark.real_time(loop="uvloop")
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__.removeprefix("test_"))
async def test_it_does_the_same_on_uvloop(scene: Callable[[], Any]) -> None:
    """Nothing that holds depends on the loop."""
    await scene()
