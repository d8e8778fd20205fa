"""What tests/conftest.py does with tests that cannot run here, seen from outside."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each starts a pytest of its own

ROOT = Path(__file__).parent.parent

SKIPPING = {
    "mark": "import pytest\n@pytest.mark.skip(reason='because')\ndef test_a(): pass\n",
    "call": "import pytest\ndef test_a(): pytest.skip('because')\n",
    "import": "import pytest\npytest.importorskip('no_such_module', reason='because')\n",
}
XFAIL = "import pytest\n@pytest.mark.xfail(reason='because')\ndef test_a(): assert False\n"
NEEDS = "import pytest\n@pytest.mark.dot\ndef test_a(): pass\n@pytest.mark.browser\ndef test_b(): pass\n"


@pytest.fixture
def run(tmp_path):
    """Return a function that runs pytest on a text, with our conftest and an empty PATH."""

    def run(text, **env):
        (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
        (tmp_path / "test_it.py").write_text(text)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml"]
        environment = {**os.environ, "PATH": "", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        for name in ("KVMLAB_REQUIRE_ALL", "KVMLAB_CHROMIUM", "PYTEST_ADDOPTS"):
            environment.pop(name, None)
        done = subprocess.run(
            [*command, "--rootdir", tmp_path, tmp_path],
            env=environment | env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    return run


@pytest.mark.parametrize("how", SKIPPING)
def test_a_skip_is_a_failure_where_all_is_required(run, how):
    status, output = run(SKIPPING[how], KVMLAB_REQUIRE_ALL="1")
    assert status not in (0, 5)
    assert "because" in output
    assert "KVMLAB_REQUIRE_ALL=1 allows no skipped test." in output


def test_a_skip_is_a_skip_otherwise(run):
    status, output = run(SKIPPING["mark"])
    assert status == 0
    assert "1 skipped" in output


def test_an_expected_failure_is_not_a_skip(run):
    status, output = run(XFAIL, KVMLAB_REQUIRE_ALL="1")
    assert status == 0
    assert "1 xfailed" in output


def test_missing_programs_are_named_in_the_reason(run):
    status, output = run(NEEDS)
    assert status == 0
    assert "the Graphviz program `dot` is missing" in output
    assert "Chromium is missing" in output
    assert "2 skipped" in output
