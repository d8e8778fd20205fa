"""What the notifier scene says of the VM itself: its beginning, its slots, its end."""

from __future__ import annotations

from kvmlab.scenes.beat import Beat
from kvmlab.scenes.notifier.rows import MANY
from kvmlab.scenes.notifier.state import PAGE, State
from kvmlab.scenes.notifier.tell_host import plural


def start() -> Beat:
    """Tell what one is looking at."""
    return Beat(
        actor="kern",
        fn="start of KVM",
        title="Two page tables will lead to the same frames",
        why="{c|The guest comes from the left, through stage 2; the host from the right}, through its own table: "
        "{e|one can change without the other}.",
        label="WHO ASKED",
    )


def slot(state: State, number: int) -> Beat:
    """Tell a slot that was added, or taken away."""
    added = next((one for one in state.slots if one.id == number), None)
    if added is None:
        title = f"Slot {number} is taken away"
        why = "{c|Linux 3.9 unmaps nothing here}: {e|what was mapped stays mapped}, and no notifier finds it any more."
    else:
        ipa, hva, pages = added.base_gfn << 12, added.userspace_addr, range(min(added.npages, MANY))
        title = f"Slot {number}: IPA {ipa:#x} is hva {hva:#x}"
        shared = next((at for n in pages if len(state.ipas_of(at := hva + n * PAGE)) > 1), None)
        if shared is None:
            why = (
                f"{{c|A slot is only a promise}}, here for {plural(added.npages, 'page')}: "
                "{e|nothing is mapped by it}. A fault asks the host."
            )
        else:
            both = " and ".join(f"{one:#x}" for one in state.ipas_of(shared)[:2])
            why = (
                f"{{c|Another slot shows hva {shared:#x} too}}, so {{e|one host page has two guest addresses}}: {both}."
            )
    return Beat(actor="kern", fn="kvm_set_memory_region()", title=title, why=why, label="PUBLISH")


def destroyed() -> Beat:
    """Tell the end of the VM."""
    why = "{c|Its tables are gone}, so {e|no guest page leads anywhere}. The frames were the host's all the time."
    return Beat(actor="kern", fn="kvm_arch_destroy_vm()", title="The VM is destroyed", why=why, label="PUBLISH")
