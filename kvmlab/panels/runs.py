"""Which panels show the same run: those of one session."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from kvmlab.engine import Machine
from kvmlab.session import Session

if TYPE_CHECKING:
    from kvmlab.panels.panel import Panel

_sessions: WeakValueDictionary[int, Session] = WeakValueDictionary()  # by the machine's id: it lives as long
_panels: WeakKeyDictionary[Session, WeakSet[Panel]] = WeakKeyDictionary()
_ids: WeakKeyDictionary[Session, str] = WeakKeyDictionary()


def session_of(run: Session | Machine) -> Session:
    """Return the session of a run; the same one each time for the same machine.

    Raises:
        InputError: the machine records nothing.
    """
    session = run if isinstance(run, Session) else _sessions.get(id(run)) or Session(machine=run)
    return _sessions.setdefault(id(session.machine), session)


def panels_of(session: Session) -> WeakSet[Panel]:
    """Return the panels that show a session."""
    if session not in _panels:
        panels = _panels[session] = WeakSet()
        session.on_change(lambda: _refresh(panels))
    return _panels[session]


def _refresh(panels: WeakSet[Panel]) -> None:
    for panel in sorted(panels, key=lambda panel: not panel.asking):
        panel.refresh()


def run_id(session: Session) -> str:
    """Return a name for a run that no other run on a page has: players in the browser find each other by it."""
    return _ids.setdefault(session, uuid4().hex)
