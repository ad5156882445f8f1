"""Waiting times for tests."""

from __future__ import annotations

from stm32pose.benchmark.developer_cloud.retries import Timing

FAST = Timing(
    connect_s=2.0,
    read_s=1.0,
    answer_s=2.0,
    transfer_s=3.0,
    attempts=4,
    patient_attempts=5,
    first_wait_s=0.01,
    longest_wait_s=0.05,
    longest_retry_after_s=0.3,
    poll_s=0.01,
)
