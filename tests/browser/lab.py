"""A JupyterLab of its own for the browser tests, and what they do in it.

The server has its own home, settings and data, so neither the user's Jupyter nor the network plays a part. Pages
are driven through JupyterLab's own commands, because the page shows a kernel as idle before there is one, and a
notebook that is run too early asks for a kernel in a dialog and waits for ever.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page

ROOT = Path(__file__).resolve().parents[2]
SHOTS = Path(os.environ.get("KVMLAB_SHOTS") or Path(__file__).parent / "shots")
WAIT = 60_000  # ms until a notebook, a kernel or a run counts as stuck
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

SERVER = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--ServerApp.disable_check_xsrf=True",
    "--IdentityProvider.token=",
    "--LabApp.expose_app_in_browser=True",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    # Should the test run be killed, the server follows by itself.
    "--ServerApp.shutdown_no_activity_timeout=600",
    "--MappingKernelManager.cull_idle_timeout=600",
    "--MappingKernelManager.cull_connected=True",
)

READY = """() => {
    const session = window.jupyterapp?.shell.currentWidget?.sessionContext, kernel = session?.session?.kernel;
    return session?.isReady && kernel?.status === 'idle' && kernel.connectionStatus === 'connected';
}"""
# The command is started and polled: page.evaluate() itself knows no timeout.
RUN_ALL = """() => {
    window.kvmlabRan = '';
    window.jupyterapp.commands.execute('notebook:run-all-cells')
        .then(() => { window.kvmlabRan = 'done'; }, error => { window.kvmlabRan = String(error); });
}"""
OUTPUTS = """() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells
    .flatMap(cell => (cell.outputs ?? []).map(output => ({...output, source: cell.source})))"""


@dataclass(frozen=True)
class Lab:
    """A running server: its address, the folder it serves, and its folder of settings."""

    url: str
    folder: Path
    settings: Path

    def set_theme(self, theme: str) -> None:
        """Choose ``"light"`` or ``"dark"`` for the pages opened from now on."""
        self.configure("apputils-extension/themes", theme=THEMES[theme])

    def configure(self, plugin: str, **values: object) -> None:
        """Write user settings of one of JupyterLab's plugins."""
        path = self.settings / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def request(self, path: str, method: str = "GET") -> bytes:
        """Return what the server answers."""
        with urllib.request.urlopen(urllib.request.Request(self.url + path, method=method), timeout=10) as answer:
            return bytes(answer.read())

    def stop_kernels(self) -> None:
        """Stop every kernel."""
        for kernel in json.loads(self.request("/api/kernels")):
            self.request(f"/api/kernels/{kernel['id']}", "DELETE")


@contextlib.contextmanager
def running_lab(home: Path) -> Iterator[Lab]:
    """Start a server on a copy of the notebooks, with all its files under an empty ``home``, and stop it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lab = Lab(f"http://127.0.0.1:{port}", home / "notebooks", home / "settings")
    shutil.copytree(ROOT / "notebooks", lab.folder, ignore=shutil.ignore_patterns(".*"))
    lab.configure("apputils-extension/notification", fetchNews="false", checkForUpdates=False, doNotDisturbMode=True)
    # Any other mode takes cells out of the page while they are off the screen: screenshots blank, outputs not found.
    lab.configure("notebook-extension/tracker", windowingMode="none")
    lab.set_theme("light")

    environment = os.environ | {
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(lab.settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "jupyter", "lab", *SERVER, f"--port={port}", f"--ServerApp.root_dir={lab.folder}"]
    log = home / "lab.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, env=environment, cwd=home, stdout=output, stderr=subprocess.STDOUT)
        # Matplotlib complains in the notebook when it takes long to list the fonts, so they are listed beforehand.
        fonts = [sys.executable, "-c", "import matplotlib.font_manager"]
        try:
            subprocess.run(fonts, env=environment, cwd=home, stdout=output, stderr=subprocess.STDOUT, check=True)
            _wait_until_up(lab, server)
            yield lab
        except BaseException:
            print(log.read_text()[-5000:], file=sys.stderr)
            raise
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_until_up(lab: Lab, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + WAIT / 1000
    while server.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            lab.request("/api/status")
            return
        time.sleep(0.1)
    raise RuntimeError("JupyterLab did not start; its log follows.")


def watch(page: Page, lab: Lab) -> list[str]:
    """Return a list that grows by each error in the page's console and each request off this machine."""
    problems: list[str] = []

    def asked(url: str) -> None:
        if not url.startswith((lab.url, lab.url.replace("http", "ws", 1), "data:", "blob:", "about:")):
            problems.append(f"request: {url}")

    page.on("console", lambda said: problems.append(f"console: {said.text}") if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("request", lambda request: asked(request.url))
    page.on("websocket", lambda websocket: asked(websocket.url))
    return problems


def open_notebook(page: Page, lab: Lab, name: str) -> None:
    """Open a notebook of the server's folder, alone on the page, and wait for its kernel."""
    page.goto(f"{lab.url}/doc/tree/{name}?reset")
    page.locator(".jp-Notebook").first.wait_for(timeout=WAIT)
    page.wait_for_function(READY, timeout=WAIT)


def run_all(page: Page, timeout: float = WAIT) -> None:
    """Run all cells of the open notebook, for at most ``timeout`` ms, and fail on any error or warning in an output."""
    page.evaluate(RUN_ALL)
    page.wait_for_function("() => window.kvmlabRan", timeout=timeout)
    assert page.evaluate("window.kvmlabRan") == "done"
    outputs = page.evaluate(OUTPUTS)
    bad = [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert not bad, json.dumps(bad, indent=1)


def shoot(what: Page | Locator, name: str) -> Path:
    """Keep a screenshot of a page or of a part of it as ``name``.png, and return its path."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    path = SHOTS / f"{name}.png"
    what.screenshot(path=path, animations="disabled")
    return path
