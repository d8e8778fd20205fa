"""Programs that some tests need and a machine may lack.

``python -m tests.programs`` says in one line each which are missing.
"""

import os
import shutil

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_dot() -> str | None:
    """Return the path of Graphviz's ``dot``, or None."""
    return shutil.which("dot")


def find_chromium() -> str | None:
    """Return the path of a Chromium, ``$KVMLAB_CHROMIUM`` before those on ``PATH``, or None."""
    wanted = os.environ.get("KVMLAB_CHROMIUM")
    names = (wanted,) if wanted else CHROMIUM_NAMES
    return next(filter(None, map(shutil.which, names)), None)


def missing() -> dict[str, str]:
    """Return, for each marker whose program is missing, one sentence that says so."""
    sentences = {}
    if find_dot() is None:
        sentences["dot"] = "the Graphviz program `dot` is missing (package graphviz)"
    if find_chromium() is None:
        sentences["browser"] = "Chromium is missing (package chromium, or its path in KVMLAB_CHROMIUM)"
    return sentences


if __name__ == "__main__":
    for sentence in missing().values():
        print(f"kvmlab: {sentence}; the tests that need it are skipped.")
