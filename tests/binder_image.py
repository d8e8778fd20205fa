"""Binder's image, without Docker: what repo2docker would build from ``binder/``, and those of its steps that are ours.

``python -m tests.binder_image`` runs the steps of the Dockerfile that come after the copy of the repository, in a fresh
environment at the Python version of ``binder/runtime.txt``, and then every notebook from top to bottom. What comes
before them, Ubuntu's packages and the Jupyter that every Binder image has, needs Docker and is left out.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WANTED = (ROOT / "binder/runtime.txt").read_text(encoding="utf-8").strip().removeprefix("python-")
COPIED = re.compile(r"^COPY .* src/ \$\{REPO_DIR\}/$", re.MULTILINE)
NEWS = "@jupyterlab/apputils-extension:announcements"
MADE = {"kvmlab", "pip", "setuptools", "wheel"}  # in an environment, and in no lock

INSTALLED = """
import json, platform
from importlib.metadata import distributions
found = {item.name.lower().replace("_", "-").replace(".", "-"): item.version for item in distributions()}
print(json.dumps([platform.python_version(), found]))
"""


def dockerfile(folder: Path = ROOT) -> str:
    """Return the Dockerfile that repo2docker makes for a folder."""
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "--user-id=1000", "--user-name=jovyan"]
    return subprocess.run([*command, folder], capture_output=True, text=True, check=True, cwd=folder).stdout


def steps(text: str) -> list[str]:
    """Return the commands that a Dockerfile runs once the repository is there."""
    _, after = COPIED.split(text)
    return re.findall(r"^RUN ((?:.*\\\n)*.*)$", after, re.MULTILINE)


def locked() -> dict[str, str]:
    """Return the version of each package in the constraints."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w-]+)==(\S+)", text, re.MULTILINE))


def strangers(found: dict[str, str]) -> dict[str, str]:
    """Return those of the installed packages whose version is not the one in the lock."""
    versions = locked()
    return {name: number for name, number in found.items() if name not in MADE and versions.get(name) != number}


def works(*command: str | Path) -> bool:
    """Say whether a command is there and succeeds."""
    try:
        # pyenv keeps several Pythons behind one name, and asks which is meant.
        environment = os.environ | {"PYENV_VERSION": WANTED}
        return not subprocess.run(command, capture_output=True, check=False, env=environment).returncode
    except OSError:
        return False


def make_environment(prefix: Path) -> None:
    """Make a fresh environment at the wanted Python: this machine's, else one that uv fetches, else at another."""
    fetched = prefix.with_name("uv")
    by_uv = ("venv", "--quiet", "--seed", "--clear", "--python", WANTED, prefix)
    _ = (
        works(f"python{WANTED}", "-m", "venv", "--clear", prefix)
        or works("uv", *by_uv)
        or (
            works(sys.executable, "-m", "pip", "install", "--quiet", "--target", fetched, "uv")
            and works(fetched / "bin/uv", *by_uv)
        )
        or subprocess.run([sys.executable, "-m", "venv", "--clear", prefix], check=True)
    )


def timed(command: Sequence[str | Path], folder: Path, prefix: Path) -> float:
    """Run a command as the image would; return the seconds it took."""
    own = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}}
    home = prefix.with_name("home")
    own |= {"KERNEL_PYTHON_PREFIX": str(prefix), "PATH": f"{prefix / 'bin'}:{own['PATH']}"}
    own |= {name: str(home / name) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "MPLCONFIGDIR")}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout.decode()}\nbinder: this failed: {' '.join(map(str, command))}")
    return time.perf_counter() - start


def main() -> int:
    """Run the steps and the notebooks; say what was done, at which Python, and how long it took."""
    with tempfile.TemporaryDirectory() as name:
        folder, prefix = Path(name, "jovyan"), Path(name, "env")
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        make_environment(prefix)
        for step in steps(dockerfile(folder)):
            print(f"binder: {timed(['sh', '-c', step], folder, prefix):5.1f} s  {step}", flush=True)

        asked = subprocess.run([prefix / "bin/python", "-c", INSTALLED], capture_output=True, text=True, check=True)
        python, found = json.loads(asked.stdout)
        assert "kvmlab" in found
        assert not strangers(found), f"not as locked: {strangers(found)}"
        disabled = json.loads((prefix / "etc/jupyter/labconfig/page_config.json").read_text())["disabledExtensions"]
        assert disabled[NEWS], "Jupyter's news are on"

        def execute(path: Path) -> str:
            command = [prefix / "bin/jupyter", "execute", "--timeout=120", path]
            return f"binder: {timed(command, folder, prefix):5.1f} s  {path.name}"

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for line in pool.map(execute, sorted((folder / "notebooks").glob("*.ipynb"))):
                print(line, flush=True)
    print(f"binder: done at Python {python}, with {len(found)} packages, each as locked.")
    if not python.startswith(f"{WANTED}."):
        print(f"binder: binder/runtime.txt asks for {WANTED}, which is not here, and uv could not fetch it.")
        return int(os.environ.get("KVMLAB_REQUIRE_ALL") == "1")
    return 0


if __name__ == "__main__":
    sys.exit(main())
