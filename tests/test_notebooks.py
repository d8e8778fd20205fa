"""Every notebook runs from top to bottom, with warnings as errors."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))

# Run in the kernel before the first cell; what the kernel itself does while it stops is not the notebook's fault.
STRICT = "import warnings; warnings.simplefilter('error'); warnings.filterwarnings('ignore', module='ipykernel')"


def run(notebook, folder):
    """Run a notebook in ``folder`` and return the outputs of its cells."""
    strict = nbformat.v4.new_code_cell(STRICT)
    notebook.cells.insert(0, strict)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    outputs = run(nbformat.read(path, as_version=4), tmp_path)
    assert outputs, "the notebook shows nothing"
    assert not [output for output in outputs if output.get("name") == "stderr"]


def test_a_warning_stops_a_notebook(tmp_path):
    careless = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import warnings; warnings.warn('careful')")])
    with pytest.raises(CellExecutionError) as stopped:
        run(careless, tmp_path)
    assert (stopped.value.ename, stopped.value.evalue) == ("UserWarning", "careful")
