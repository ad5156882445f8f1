"""A small soak; the large one is benchmarks/cloud_faults.py."""

from __future__ import annotations

from cloud_soak import soak


def test_small_soak(tmp_path):
    # One thread: the faults then come in the same order each time.
    report = soak(requests=100, rate=0.2, seed=5, threads=1, folder=tmp_path)
    assert report.requests >= 100
    assert report.faults.total() >= 5
    assert report.started >= 3
    assert report.completed >= 1
    assert report.fine, "\n".join(report.lines())


def test_soak_without_faults_completes_everything(tmp_path):
    report = soak(requests=60, rate=0.0, seed=1, threads=2, folder=tmp_path)
    assert report.failed.total() == 0
    assert report.files_left == report.jobs_left == 0
    assert report.fine, "\n".join(report.lines())
