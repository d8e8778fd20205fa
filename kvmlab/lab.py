"""Open JupyterLab on the notebooks."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"

NO_DOT = "kvmlab: the Graphviz program `dot` is missing; trees are drawn with kvmlab's own layout."
NO_NOTEBOOKS = (
    f"kvmlab: there are no notebooks in {NOTEBOOKS}; they come with the repository, so run this from a checkout of it."
)

# JupyterLab as a classroom wants it; what the user adds on the command line comes later and wins.
SETTINGS = (
    f"--ServerApp.root_dir={NOTEBOOKS}",
    "--ServerApp.log_level=WARN",  # what remains is the address, and whatever goes wrong
    "--LabApp.log_level=WARN",
    "--ServerApp.answer_yes=True",  # one Ctrl-C stops it
    "--allow-root",  # in a container there is often no one else
    "--LabApp.news_url=None",  # no news and no updates: nothing is asked of the network
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


def main(args: Sequence[str] = ()) -> int:
    """Run JupyterLab on the notebooks until it is stopped with Ctrl-C.

    Args:
        args: Further arguments for ``jupyter lab``, such as ``--no-browser`` or ``--port=8890``.

    Returns:
        The exit status: 0 after a normal stop, 1 where there are no notebooks to open.
    """
    if not NOTEBOOKS.is_dir():
        print(NO_NOTEBOOKS, file=sys.stderr)
        return 1
    if shutil.which("dot") is None:
        print(NO_DOT, file=sys.stderr)
    print("kvmlab: JupyterLab is starting; its address follows. Stop it with Ctrl-C.", flush=True)

    from jupyterlab.labapp import LabApp  # takes half a second, so only here

    LabApp.launch_instance([*SETTINGS, *args])
    return 0
