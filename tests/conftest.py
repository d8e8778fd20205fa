"""Skip what this machine cannot run, and say why; with ``KVMLAB_REQUIRE_ALL=1`` a skip is a failure."""

import os

import pytest

from tests.programs import missing

REQUIRE_ALL = os.environ.get("KVMLAB_REQUIRE_ALL") == "1"


def pytest_collection_modifyitems(items):
    absent = missing()
    for item in items:
        for marker, sentence in absent.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=sentence))


def _no_skip(report):
    """Turn a skipped report, but not an expected failure, into a failed one."""
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{reason}\nKVMLAB_REQUIRE_ALL=1 allows no skipped test."
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return _no_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return _no_skip((yield))
