"""What all panels of a run have in common: a session, controls in a row, a line of words, and the player."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from kvmlab.engine import InputError, KernelBug, Machine
from kvmlab.panels.compare import Comparison
from kvmlab.panels.controls import push
from kvmlab.panels.export import export
from kvmlab.panels.player import Player
from kvmlab.panels.runs import panels_of, run_id, session_of
from kvmlab.scenes.scene import Scene
from kvmlab.scenes.story import Story
from kvmlab.session import Session

if TYPE_CHECKING:
    from kvmlab.figures.style import Slide

MESSAGE_LIMIT = 400
STARTS = ("begin", "last", "end")


class Panel(widgets.VBox):
    """Controls, what came of them, and the player that shows it.

    All panels of one session show the same run, stand at the same moment and grow together.

    Args:
        run: the session, or a machine.
        story: makes a new story, which tells the run from its beginning.
        controls: widgets for the row above the player.
        start: "begin" to stand at the first step, "last" where the last command begins, "end" at the last step.
        predict: whether the player asks before a step that has a consequence.

    Attributes:
        session: the session shown.
        player: the player.
        message: the line under the controls: what the last command came to, or what was wrong with it.
        below: where a comparison appears.
        asking: whether a command of its own is under way; then it is the first to show what came of it.

    Raises:
        InputError: no such `start`, or a machine that records nothing.
    """

    def __init__(
        self,
        run: Session | Machine,
        story: Callable[[], Story],
        controls: Sequence[widgets.Widget],
        *,
        start: str = "begin",
        predict: bool = False,
    ) -> None:
        """Show what has happened so far."""
        if start not in STARTS:
            raise InputError(f"start is {start!r}; allowed: {', '.join(STARTS)}")
        self.session = session_of(run)
        self._make_story = story
        self._story, self._edition = story(), self.session.machine.stream.edition
        scene = self._story.read(self.session.machine.stream)
        self.player = Player(scene, run=run_id(self.session), predict=predict)
        self.player.step = {"begin": 0, "last": first_of_last(scene), "end": len(scene.steps) - 1}[start]
        self.message = widgets.HTML(layout=widgets.Layout(min_height="2em", margin="0 0 0 8px"))
        self.message.add_class("kvmlab-message")
        self.undo_button = push("Undo", self.undo, "5em", tooltip="go back to before the last command")
        self.redo_button = push("Redo", self.redo, "5em", tooltip="repeat the command that was undone")
        self.branch_button = push(
            "Branch", self._branch_below, "5.5em", tooltip="change the past at this step and compare"
        )
        tools = [self.undo_button, self.redo_button, self.branch_button]
        wrap = widgets.Layout(flex_flow="row wrap", align_items="center", grid_gap="4px")
        row = widgets.HBox([*controls, *tools], layout=wrap)
        row.add_class("kvmlab-controls")
        self.below = widgets.VBox()
        super().__init__([row, self.message, self.player, self.below])
        self.add_class("kvmlab-panel")
        self._linked = self.asking = False
        self.player.observe(self._moved, "step")
        self.player.on_msg(self._heard)
        panels_of(self.session).add(self)

    # -- where it stands -------------------------------------------------------------------------------------------

    @property
    def machine(self) -> Machine:
        """The machine shown; after commands given to it directly, ``refresh`` shows what came of them."""
        return self.session.machine

    @property
    def scene(self) -> Scene:
        """The scene shown: the whole run."""
        return self.player.shown

    @property
    def step(self) -> int:
        """The step shown, from 0."""
        return int(self.player.step)

    @step.setter
    def step(self, step: int) -> None:
        stays = step == self.player.step
        self.player.step = step
        if stays and not self._linked:
            self._moved(None)  # others may stand elsewhere

    @property
    def event(self) -> int:
        """How many events of the run have happened at the step shown."""
        return self.scene.steps[self.step].event

    def show_event(self, event: int) -> None:
        """Go to the last step at which no more than `event` events have happened."""
        self._linked = True
        try:
            self.player.show_event(event)
        finally:
            self._linked = False

    def _moved(self, _: object) -> None:
        """Let the other panels of the session follow; in the browser they have done so by themselves."""
        if not self._linked and not self.player.from_browser:
            for panel in panels_of(self.session):
                if panel is not self:
                    panel.show_event(self.event)

    def pick(self, part: str) -> None:
        """Take note that a part of the picture was picked; what that means is the panel's own matter.

        Args:
            part: id of the part; it comes from the browser, so it may be anything.
        """

    def _heard(self, _: object, content: dict[str, Any], __: object) -> None:
        """Take a message from the player."""
        if isinstance(part := content.get("pick"), str):
            self.pick(part)

    # -- commands --------------------------------------------------------------------------------------------------

    def do(self, name: str, **args: Any) -> Any:
        """Run a command; what is wrong with it appears under the controls.

        Args:
            name: a command of the machine: "access", "swap_out", ...
            args: its arguments.

        Returns:
            Its result, or None if it was refused or the kernel died.
        """
        self.asking = True
        try:
            return self.session.do(name, **args)
        except InputError as error:
            self.say(str(error), error=True)
        except KernelBug as bug:
            self.say(str(bug), error=True)
        finally:
            self.asking = False
        return None

    def refresh(self) -> None:
        """Show what has happened since, from where the latest change began; where the past changed, tell all anew."""
        stream, self._linked = self.session.machine.stream, True
        try:
            if self._edition != stream.edition:
                self._story, self._edition = self._make_story(), stream.edition
            if self._story.seen < len(stream):
                fresh = self.session.news >= self._story.seen  # else the commands were given to the machine itself
                scene = self._story.read(stream.since(self._story.seen))
                self.player.grow(scene, self._first_new(scene) if fresh else first_of_last(scene))
            if stream.cursor < len(stream):
                self.show_event(stream.cursor)
        finally:
            self._linked = False

    def _first_new(self, scene: Scene) -> int:
        """Return the first step of the latest change; the last step of all if it made none here."""
        return min(bisect_right([step.event for step in scene.steps], self.session.news), len(scene.steps) - 1)

    def say(self, words: str, *, error: bool = False) -> None:
        """Put a sentence under the controls.

        Args:
            words: plain text; what is too long is cut.
            error: whether it says why something was not done.
        """
        words = words if len(words) <= MESSAGE_LIMIT else words[:MESSAGE_LIMIT] + "…"
        sign = '<b class="kvmlab-error">Not done:</b> ' if error else ""
        self.message.value = f'<span role="{"alert" if error else "status"}">{sign}{escape(words)}</span>'

    # -- the past --------------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Go back to before the last command; the next command takes the place of what was undone."""
        before = self.session.cursor
        self.session.undo()
        undone = self.session.cursor < before
        self.say("undone; a new command will replace it" if undone else "there is nothing to undo")

    def redo(self) -> None:
        """Go on to after the command that was undone."""
        before = self.session.cursor
        self.session.redo()
        self.say("done again" if self.session.cursor > before else "there is nothing to repeat")

    def again(self, run: Session) -> Panel:
        """Return a panel of the same kind, with the same options, on another run."""
        raise NotImplementedError

    def branch(self) -> Comparison:
        """Return this run beside another one, which has had the same commands until before the one of this step.

        The first VMs are kept. The other run takes commands through its controls, or as ``.other.session.do(...)``.
        """
        commands = self.session.commands
        kept = max(0, sum(done.first < self.event for done in commands) - 1)
        while kept < len(commands) and commands[kept].command.name == "create_vm":
            kept += 1
        return Comparison(self, self.again(self.session.branch(kept)))

    def _branch_below(self) -> None:
        new = self.branch()
        for old in self.below.children:
            old.leave()
        self.below.children = [new]
        self.say("below: the run as it was beside another past, which takes commands; what differs has a dashed ring")

    # -- out of the notebook ---------------------------------------------------------------------------------------

    def export(self, path: str | PathLike[str]) -> Path:
        """Write the run to one HTML file that plays without kernel and network, replacing what was there.

        Args:
            path: the file; its name ends in ``.html``.

        Returns:
            The path.

        Raises:
            InputError: nothing can be written there; the message says why.
        """
        return export(self.scene, path)

    def figure(self, step: int | None = None, *, theme: str = "light", words: bool = True) -> Slide:
        """Return the picture at a step as a figure for a slide; ``.save("step.svg")`` (or .png, .pdf) writes it.

        Args:
            step: the step, from 0; the one shown if not given.
            theme: "light" or "dark".
            words: whether the step's words and the score stand with the picture.

        Raises:
            InputError: no such step or theme.
        """
        from kvmlab.panels.stills import figure

        return figure(self.scene, self.step if step is None else step, theme=theme, words=words)

    def filmstrip(self, steps: Iterable[int], *, theme: str = "light") -> Slide:
        """Return several steps side by side; ``.save("strip.pdf")`` (or .svg, .png) writes them.

        Args:
            steps: 1 to 12 steps, from 0.
            theme: "light" or "dark".

        Raises:
            InputError: no such step or theme, or too many steps.
        """
        from kvmlab.panels.stills import filmstrip

        return filmstrip(self.scene, steps, theme=theme)

    def gif(self, path: str | PathLike[str], *, steps: Iterable[int] | None = None, theme: str = "light") -> Path:
        """Write the walk as a moving picture, replacing what was there.

        Args:
            path: the file; its name ends in ``.gif``.
            steps: which steps; all if not given.
            theme: "light" or "dark".

        Returns:
            The path.

        Raises:
            InputError: no such step or theme, too many steps, or nothing can be written there.
        """
        from kvmlab.panels.stills import gif

        return gif(self.scene, path, steps=steps, theme=theme)


def first_of_last(scene: Scene) -> int:
    """Return the step at which the last command begins."""
    last = scene.steps[-1].command
    return next(number for number, step in enumerate(scene.steps) if step.command == last)
