"""What repo2docker would make of ``binder/``; its steps are run by ``make binder``."""

import os
import re
import shutil

import pytest

from tests.binder_image import ROOT, WANTED, dockerfile, locked, make_environment, steps, strangers, works

pytestmark = pytest.mark.skipif(os.name == "nt", reason="images are not built on Windows")


@pytest.fixture(scope="module")
def image():
    return dockerfile()


@pytest.fixture
def checkout(tmp_path):
    """Return the folder of a repository that has only what an image is described by."""
    shutil.copytree(ROOT / "binder", tmp_path / "binder")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def python(text):
    """Return the Python that an image has, and of what base it is."""
    (base,) = re.findall(r"^FROM (\S+)$", text, re.MULTILINE)
    ((major, minor),) = re.findall(r"-2fenvironment-2epy-2d(\d+)-2e(\d+)-", text)
    return base, f"{major}.{minor}"


def packages(text):
    """Return the packages of Ubuntu that are installed for the repository."""
    (names,) = re.findall(r"^apt-get install --yes --no-install-recommends (.*) && \\$", text, re.MULTILINE)
    return set(names.split())


def test_the_image_has_the_python_that_is_asked_for(image):
    base, found = python(image)
    assert base.startswith("docker.io/library/buildpack-deps:")
    assert found == WANTED


def test_without_runtime_txt_it_would_have_another(checkout):
    (checkout / "binder/runtime.txt").unlink()
    assert python(dockerfile(checkout))[1] != WANTED


def test_the_image_has_dot_and_a_font(image):
    assert packages(image) == {"graphviz", "fonts-dejavu-core"}


def test_our_steps_come_after_the_copy_of_the_repository(image):
    assert steps(image) == [
        '${KERNEL_PYTHON_PREFIX}/bin/pip install --no-cache-dir -r "binder/requirements.txt"',
        "chmod +x binder/postBuild",
        "./binder/postBuild",
    ]


def test_what_is_changed_in_binder_is_seen(checkout):
    (checkout / "binder/apt.txt").write_text("graphviz\nless\n")
    (checkout / "binder/postBuild").unlink()
    text = dockerfile(checkout)
    assert packages(text) == {"graphviz", "less"}
    assert "./binder/postBuild" not in steps(text)


def test_only_the_locked_versions_are_no_strangers():
    versions = locked()
    assert not strangers(versions | {"kvmlab": "0.1.0", "pip": "1"})
    assert strangers(versions | {"numpy": "1.0", "left-pad": "2"}) == {"numpy": "1.0", "left-pad": "2"}


def test_a_missing_or_failing_program_does_not_work():
    assert works("true")
    assert not works("false")
    assert not works("no-such-program")


@pytest.mark.slow  # makes an environment
def test_without_the_wanted_python_there_is_another(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.binder_image.works", lambda *_: False)
    make_environment(tmp_path / "env")
    assert (tmp_path / "env/bin/pip").exists()
