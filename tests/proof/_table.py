"""Which modules are mutated, and which tests have to notice.

A module belongs here when it decides and does not wait: state machines, values, checks of what users give. One line
each, the quickest tests first: a mutant is dead as soon as one of them fails.
"""

from __future__ import annotations

from typing import Final

__all__ = ("TABLE",)

TABLE: Final[dict[str, tuple[str, ...]]] = {
    "_base/_backoff.py": ("tests/otp/test_restart_window.py", "tests/otp/test_backoff.py"),
    "kernel/_cycles.py": (
        "tests/kernel/test_cycles_table.py",
        "tests/otp/test_call_cycles_looks.py",
        "tests/otp/test_call_cycles.py",
    ),
    "kernel/_dead_letters.py": ("tests/kernel/test_dead_letters.py",),
    "kernel/_links.py": ("tests/kernel/test_links_table.py",),
    "kernel/_mailbox.py": (
        "tests/kernel/test_mailbox_table.py",
        "tests/kernel/test_receive.py",
        "tests/otp/test_condemned.py",
        "tests/testing/test_simulation_faults_plain.py",
        "tests/otp/test_freed_at_once.py",
    ),
    "kernel/_names.py": ("tests/kernel/test_names_table.py", "tests/kernel/test_names.py"),
    "kernel/_pid.py": ("tests/kernel/test_pid.py",),
    "kernel/_reasons.py": ("tests/kernel/test_reasons.py",),
    "kernel/_steps.py": ("tests/kernel/test_steps_table.py", "tests/kernel/test_steps.py"),
    "kernel/_timeouts.py": ("tests/kernel/test_timeouts.py",),
    "kernel/_watch_state.py": ("tests/kernel/test_watch_state.py",),
    "otp/_child_spec.py": (
        "tests/otp/test_child_spec_values.py",
        "tests/otp/test_child_spec.py",
        "tests/otp/test_condemned.py",
    ),
    "otp/_partition_supervisor_key.py": ("tests/otp/test_partition_supervisor.py",),
    "otp/_registrations.py": (
        "tests/otp/test_registrations.py",
        "tests/otp/test_via_name.py",
        "tests/otp/test_registry.py",
        "tests/otp/test_registry_lifecycle.py",
    ),
    "otp/_registry_state.py": ("tests/otp/test_registry_table.py", "tests/otp/test_registry_state.py"),
    "otp/_restart_state.py": ("tests/otp/test_restart_window.py", "tests/otp/test_restart_state.py"),
    "otp/_state_machine_state.py": (
        "tests/otp/test_state_machine_state.py",
        "tests/otp/test_state_machine_timeouts.py",
    ),
    "otp/_state_machine_table.py": (
        "tests/otp/test_state_machine_table.py",
        "tests/otp/test_state_machine_declare.py",
        "tests/otp/test_state_machine.py",
        "tests/otp/test_state_machine_events.py",
    ),
    "otp/_supervisor_state.py": ("tests/otp/test_supervisor_state.py",),
    "otp/_task_options.py": ("tests/otp/test_task_options.py",),
    "otp/_via.py": ("tests/otp/test_via_name.py", "tests/otp/test_registry_via.py"),
    "resilience/_bulkhead_state.py": ("tests/resilience/test_bulkhead_state.py",),
    "resilience/_chaos_state.py": ("tests/resilience/test_chaos_state.py",),
    "resilience/_circuit_rules.py": ("tests/resilience/test_circuit_rules.py",),
    "resilience/_circuit_state.py": (
        "tests/resilience/test_circuit_state.py",
        "tests/resilience/test_circuit_machine.py",
    ),
    "resilience/_hedge_state.py": ("tests/resilience/test_hedge_state.py",),
    "resilience/_retry_state.py": ("tests/resilience/test_retry_state.py",),
    "resilience/_window_state.py": ("tests/resilience/test_window_state.py",),
    "resilience/_cache_options.py": (
        "tests/resilience/test_cache.py",
        "tests/resilience/test_cache_loading.py",
    ),
    "resilience/_cache_state.py": ("tests/resilience/test_cache_state.py", "tests/resilience/test_cache.py"),
    "resilience/_eviction_state.py": (
        "tests/resilience/test_eviction_state.py",
        "tests/resilience/test_cache_state.py",
    ),
    "resilience/_flight_state.py": (
        "tests/resilience/test_flight_state.py",
        "tests/resilience/test_cache_threads.py",
    ),
    "resilience/_rate_limiter_options.py": ("tests/resilience/test_rate_limiter.py",),
    "resilience/_rate_limiter_state.py": (
        "tests/resilience/test_rate_limiter_state.py",
        "tests/resilience/test_rate_limiter.py",
    ),
    "review/_finding.py": ("tests/review/test_finding.py",),
    "review/_codes.py": ("tests/review/test_codes.py",),
    "review/_order.py": ("tests/review/test_order.py",),
    "review/_report.py": ("tests/review/test_finding.py", "tests/review/test_report.py"),
    "telemetry/_sampler_state.py": ("tests/telemetry/test_sampler_state.py",),
    "services/_circuit_table_state.py": ("tests/services/test_circuit_table_state.py",),
    "services/_health_check.py": ("tests/services/test_health_check_values.py",),
    "services/_health_graph_state.py": ("tests/services/test_health_graph_state.py",),
    "services/_health_state.py": ("tests/services/test_health_state.py",),
    "testing/_deciders.py": ("tests/testing/test_deciders.py",),
    "testing/_schedule.py": ("tests/testing/test_schedule.py", "tests/testing/test_shrink.py"),
    "testing/_shrink.py": ("tests/testing/test_shrink.py",),
    "testing/_tried.py": ("tests/testing/test_tried.py",),
    "telemetry/_spec.py": ("tests/telemetry/test_spec.py",),
}
