"""The measurements of a class and of a first picture, on a small scale: they see what they are to see."""

import asyncio
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from benchmarks import classroom

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]  # starts kernels


@pytest.fixture(autouse=True)
def _path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a notebook of some cells."""

    def write(*cells):
        path = tmp_path / "some.ipynb"
        nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
        return path

    return write


def lesson(path, students):
    return asyncio.run(classroom.lesson(path, students))


def first_picture(*paths, before="pass"):
    """Run the measurement as a program of its own, for it limits itself; return the lines of its table."""
    script = f"from benchmarks import first_picture; {before}; first_picture.main()"
    command = [sys.executable, "-c", script, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()[2:]


def test_two_students_finish_the_first_notebook(capsys):
    classroom.main(["--students", "2"])
    lines = capsys.readouterr().out.splitlines()[2:]
    assert lines[0] == "| 2 kernels, 01-a-guest-faults.ipynb: failures | 0 | 0 | yes |"
    assert not [line for line in lines if line.endswith(" no |")]


def test_memory_is_that_of_each_kernel_while_all_are_there(written):
    taken = 64  # MiB
    (plain,) = lesson(written("pass"), 1)
    full = lesson(written(f"mine = b'x' * ({taken} << 20)"), 2)
    assert all(0.9 * taken < one.rss - plain.rss < 1.1 * taken and one.pss < one.rss for one in full)


def test_a_student_who_fails_is_counted(written):
    rows = list(classroom.rows(written("1 / 0"), 1))
    assert rows[0].met is False
    assert rows[1].value == "ZeroDivisionError: division by zero"
    assert [row.met for row in rows if row.goal] == [False] * 3


def test_a_kernel_that_is_gone_is_a_failure(written):
    (student,) = lesson(written("import os; os._exit(1)"), 1)
    assert student.failure.startswith("DeadKernelError")
    assert student.rss == 0


def test_a_class_of_nobody_is_refused(capsys):
    with pytest.raises(SystemExit):
        classroom.main(["--students", "0"])
    assert "--students is 0; allowed: 1 or more" in capsys.readouterr().err


def test_the_first_picture_of_the_first_notebook_comes_in_time():
    lines = first_picture(classroom.NOTEBOOK)
    assert lines[0].startswith("| 01-a-guest-faults.ipynb: first cell to first picture |")
    assert lines[0].endswith("| under 10 s | yes |")


def test_a_picture_is_a_picture_and_the_cells_before_it_count(written):
    late = "from IPython.display import SVG; import time; time.sleep(1.5); print('words'); 1"
    (line, *_) = first_picture(written(late, "SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')"))
    assert 1.5 <= float(line.split("|")[2].split()[0]) < 10
    assert first_picture(written("print('words')", "'<svg/>'")) == ["| some.ipynb: no picture |  |  |  |"]


def test_the_kernel_is_on_one_cpu_and_has_no_more_than_its_budget(written):
    path = written("import os; assert len(os.sched_getaffinity(0)) == 1", "mine = bytearray(1 << 30)")
    assert first_picture(path) == ["| some.ipynb: no picture |  |  |  |"]
    with pytest.raises(AssertionError, match="MemoryError"):
        first_picture(path, before="first_picture.BUDGET = 1 << 30")
