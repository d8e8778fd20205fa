"""What every part of the cache scene's stage shows at one moment; the chart's bars are shown once and stay."""

from __future__ import annotations

from kvmlab.scenes.cache.stage import BARS_LIMIT
from kvmlab.scenes.cache.state import ROWS, SLOTS, CacheState
from kvmlab.scenes.fault.picture import verb
from kvmlab.scenes.scene import Actor, Picture

ROOT_FRAMES = 2


def picture(s: CacheState, actor: Actor) -> Picture:
    """Return what every part shows when `actor` acts."""
    does = f"vCPU {s.vcpu}: {verb(s.access)} IPA {s.access['ipa']:#x}" if s.access else f"vCPU {s.vcpu} has not run"
    shown: Picture = {
        "zG": ("on" if actor in ("guest", "hw") else "", ""),
        "g.do": ("", does),
        "g.run": ("", "▶ running" if s.running else "■ stopped"),
        "la": ("on" if actor in ("kern", "host") and not s.locked else "", ""),
        "lb": ("on" if s.locked else "", ""),
        "lk": ("held" if s.locked else "", ""),
        "lk.t": ("", "mmu_lock held" if s.locked else "mmu_lock free"),
        "tray": ("", ""),
        "tray.n": ("", f"mmu_page_cache of vCPU {s.vcpu}"),
        "tray.t": ("", f"{s.nobjs}/{SLOTS}"),
    }
    for slot in range(SLOTS):
        full = slot < s.nobjs
        shown[f"s{slot}"] = ("full" if full else "", "")
        shown[f"s{slot}.t"] = ("", f"{s.objects[slot]:#x}" if full else "")
    return shown | _allocator(s) | _tables(s)


def _allocator(s: CacheState) -> Picture:
    root = ROOT_FRAMES if s.root else 0
    counts = {"root": root, "tables": len(s.tables), "tray": s.nobjs}
    counts["else"] = s.live - sum(counts.values())
    return {
        "al": ("", ""),
        "al.t": ("", str(s.live)),
        **{f"al.{key}": ("", str(count)) for key, count in counts.items()},
        "fail": ("armed" if s.fail_in else "off", ""),
        "fail.a": ("", "will fail:" if s.fail_in else ""),
        "fail.b": ("", f"allocation {s.fail_in}" if s.fail_in else ""),
    }


def _tables(s: CacheState) -> Picture:
    shown: Picture = {"tb.n": ("", str(len(s.tables)))}
    for row in range(ROWS):
        level, path = s.tables.get(s.listed[row], (0, ()))
        shown[f"t{row}"] = (f"l{level}" if level else "off", "")
        shown[f"t{row}.t"] = ("", f"L{level} {s.listed[row]:#x}" if level else "")
        shown[f"t{row}.e"] = ("", f"entry {'.'.join(map(str, path))}" if level else "")
    more = len(s.tables) - sum(table in s.tables for table in s.listed)
    shown["tb.more"] = ("", f"and {more} older" if more else "")
    drawn = min(len(s.faults), BARS_LIMIT)
    of = "" if drawn == len(s.faults) else f", the first {drawn} drawn"
    shown["ch.t"] = ("", f"faults: {len(s.faults)}{of}")
    return shown
