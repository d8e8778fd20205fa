"""Export: a scene as one HTML file that plays with no kernel and no network, for slides and handouts."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import zlib
from html import escape
from pathlib import Path

from kvmlab.files import checked, write
from kvmlab.panels.player import STATIC, module, style
from kvmlab.scenes.scene import ACTORS, Actor, Scene, Step, plain

SUFFIX = ".html"

_PLAY = """{
  const root = document.getElementById("player"), packed = document.getElementById("scene").textContent;
  const bytes = new Blob([Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0))]);
  const scene = await new Response(bytes.stream().pipeThrough(new DecompressionStream("deflate"))).json();
  followTheme(root);
  const view = player(root, scene), wanted = /^#step-(\\d+)$/;
  const named = () => { if (wanted.test(location.hash)) view.show(wanted.exec(location.hash)[1] - 1); };
  window.addEventListener("hashchange", named);
  named();
  root.focus({ preventScroll: true });
}
"""
_PAGE_STYLE = """/* The page around the player: the light or dark of the reader's system, also where no script runs. */
:root { color-scheme: light dark; }
body {
  margin: 0; padding: 0 8px; color: var(--ink); background: var(--paper);
  font: 400 16px/1.4 system-ui, sans-serif;
}
main { max-width: clamp(1020px, 165vh, 1800px); margin: auto; overflow-wrap: anywhere; }
h1 { font-size: 1em; color: var(--ink2); margin: 0; padding: 10px 8px 0; }
noscript p { padding: 0 8px; }
#player:empty { display: none; }
.words { margin-top: 2em; padding: 1em 8px 3em; border-top: 1px solid var(--line2); }
.words > * { max-width: 44em; }
.words h2 { font-size: 1.31em; margin: 0; }
.words h3 { font-size: 1em; margin: 1.6em 0 0; break-after: avoid; }
.words p { margin: .15em 0; }
.words .by, .words .log { color: var(--ink2); font-size: .88em; }
.words code, .words .log { font-family: ui-monospace, Menlo, Consolas, monospace; }
.words .log { white-space: pre-wrap; padding-left: 6.5em; text-indent: -6.5em; break-inside: avoid; }
.words .log b { display: inline-block; width: calc(6.5em - 1ch); text-indent: 0; }
.words h3, .words b, .words code, .words p { unicode-bidi: isolate; }
@media print { .kvm { print-color-adjust: exact; } .kvm .ctl, .kvm .src { visibility: hidden; } }
"""


def export(scene: Scene, path: str | os.PathLike[str]) -> Path:
    """Write a scene to a file that any browser opens, from disk, without a network.

    A file of that name is replaced, as when a document is saved.

    Args:
        scene: what to show.
        path: where to write; ends in ``.html``, in a directory that exists.

    Returns:
        The path.

    Raises:
        InputError: nothing can be written there; the message says why.
    """
    file = checked(path, (SUFFIX,), "walk.html")
    return write(file, to_html(scene).encode("utf-8", "replace"))


def to_html(scene: Scene) -> str:
    """Return a page that plays a scene and tells all its steps in words.

    The page holds what the panels use: the same player, style and data. It asks for nothing from anywhere, and its
    own policy forbids it to, as well as any script but the player. The same scene gives the same text, given the
    same zlib.

    Args:
        scene: what to show.
    """
    script = f"{module()}\n{_PLAY}"
    title = escape(scene.title)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style()}
{_colours()}
{_PAGE_STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<noscript><p>The picture needs JavaScript. Without it, read the steps below: each is told in words.</p></noscript>
<div class="kvmwrap"><section id="player"></section></div>
{_transcript(scene)}
</main>
<script type="application/zlib" id="scene">{_packed(scene)}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def _packed(scene: Scene) -> str:
    """Compress a scene: plain JSON is some nine times as long. In base64 no letter of it can end the script."""
    return base64.b64encode(zlib.compress(scene.to_json().encode("utf-8", "replace"), 9)).decode()


def _policy(script: str) -> str:
    """Allow this one script, the styles that stand in the page, and nothing else."""
    seal = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rest = "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src 'sha256-{seal}'; {rest}"


def _colours() -> str:
    """Return the panels' colours for the whole page, light or dark as the reader's system is."""
    light, dark = re.findall(r"\{[^}]*\}", (STATIC / "tokens.css").read_text(encoding="utf-8"))
    return f":root {light}\n@media (prefers-color-scheme: dark) {{ :root {dark} }}"


def _transcript(scene: Scene) -> str:
    """Tell every step in words: for search, screen readers, print, and where no script runs."""
    count = len(scene.steps)
    heading = "The only step, in words" if count == 1 else f"All {count} steps in words"
    steps = "\n".join(_told(number, step) for number, step in enumerate(scene.steps, 1))
    source = f'\n<p class="by">{escape(scene.source)}</p>' if scene.source else ""
    return (
        f'<section class="words" aria-labelledby="words">\n<h2 id="words">{heading}</h2>{source}\n{steps}\n</section>'
    )


def _told(number: int, step: Step) -> str:
    """Tell one step: its number and title, who did it in which function, why, and what the log says."""
    chip = step.chip or ACTORS[step.actor]
    return (
        f"<h3>{number}. {escape(step.title)}</h3>\n"
        f'<p class="by">{escape(chip)} · <code>{escape(step.fn)}</code></p>\n'
        f"<p>{escape(plain(step.why))}</p>" + "".join(_line(actor, text) for actor, text in step.log)
    )


def _line(actor: Actor, text: str) -> str:
    """Write one line of the log."""
    return f'\n<p class="log"><b>{ACTORS[actor]}</b> {escape(text)}</p>'
