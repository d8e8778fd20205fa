"""Exercises on the memory cache: frames that are taken before the lock, and used under it."""

from __future__ import annotations

from random import Random

from kvmlab.engine import Machine
from kvmlab.engine.kernel.cache import mmu_topup_memory_cache
from kvmlab.engine.kernel.errno import strerror
from kvmlab.engine.kernel.pgtable import KVM_NR_MEM_OBJS, PAGE_SIZE, PMD_SIZE, PUD_SIZE
from kvmlab.exercises.parts import Draft, Field, Fields, Order, Rule, Wrong
from kvmlab.exercises.runs import any_slot, boot, marks
from kvmlab.exercises.tables import BIG
from kvmlab.exercises.template import keep, numbers, template

LEAST = 2


def _objects(machine: Machine, vm: int) -> int:
    return machine.kvm(vm).vcpus[0].mmu_page_cache.nobjs


@template("cache", "Objects in the memory cache", "04", "05")
def cache(draw: Random) -> Draft | None:
    """Ask for the cache's objects after each of some faults."""
    machine = boot()
    vm = machine.create_vm([BIG])
    regions = [BIG.ipa + PMD_SIZE * draw.randrange(800) for _ in range(2)]
    pages, right = [], []
    for _ in range(4):
        page = draw.choice(regions) + PAGE_SIZE * draw.randrange(512)
        machine.access(vm, page, "write")
        pages.append(page)
        right.append(_objects(machine, vm))
    answer = tuple(right)
    if len(set(pages)) < 4 or len(set(right)) == 1:
        return None
    full = (KVM_NR_MEM_OBJS,) * 4
    down = tuple(KVM_NR_MEM_OBJS - 1 - n for n in range(4))
    twice = tuple(KVM_NR_MEM_OBJS - 2 * (n + 1) for n in range(4))
    wrong = keep(
        answer,
        [
            Wrong(full, "that fills it up at every fault.", "M29"),
            Wrong(down, "a fault takes as many objects as tables are missing: none, one or two."),
            Wrong(twice, "two tables are missing only in a GiB that is new."),
            Wrong(tuple(n + 1 for n in answer), "the first fault takes two: a level 2 and a level 3 table."),
        ],
    )
    return Draft(
        "The guest of a new VM writes to these pages with one vCPU. How many objects are in the vCPU's memory "
        "cache after each of the faults?",
        tuple(f"{n}: {page:#x}" for n, page in enumerate(pages, 1)),
        numbers("after 1", "after 2", "after 3", "after 4"),
        answer,
        wrong,
        (
            f"With fewer than {LEAST} in it the cache is filled to {KVM_NR_MEM_OBJS}; else nothing is added.",
            "A GiB that is new takes two objects, 2 MiB that are new in a known GiB take one.",
            "In 2 MiB that are known nothing is taken.",
        ),
        f"Filled to {KVM_NR_MEM_OBJS} at the first fault; then each takes the tables that are missing: "
        + ", ".join(map(str, answer))
        + ".",
    )


@template("top-up", "When the next top-up comes", "04", "06")
def top_up(draw: Random) -> Draft | None:
    """Ask at which fault the cache is filled for the second time."""
    stride = draw.choice((2, 2, 4, 8)) * (PMD_SIZE // 2)
    first = draw.choice((512 - draw.randrange(2, 40), draw.randrange(300)))
    which = draw.choice((2, 2, 3))
    start = BIG.ipa + PMD_SIZE * first
    machine = boot(tlb_ways=1)
    vm = machine.create_vm([BIG])
    regular: list[int] = []
    at, turn = start, 0
    while len(regular) < which:
        turn += 1
        before = len(machine.stream)
        machine.access(vm, at, "write")
        if marks(machine, "cache/topped_up", before):
            regular.append(turn)
        at += stride
    right = regular[-1]

    def otherwise(least: int) -> int:
        left, tops, known, page = 0, 0, set[int](), start
        for fault in range(1, 1000):
            if left < least:
                left, tops = KVM_NR_MEM_OBJS, tops + 1
                if tops == which:
                    return fault
            for region in (page // PUD_SIZE, -(page // PMD_SIZE)):
                left -= region not in known
                known.add(region)
            page += stride
        return 0

    wrong = keep(
        (right,),
        [
            Wrong((which,), "that fills it at every fault.", "M29"),
            Wrong((otherwise(1),), "that waits until it is empty; it is filled when fewer than 2 are left."),
            Wrong(
                (KVM_NR_MEM_OBJS * (which - 1) + 1,), "that forgets the level 2 table, and when the cache is filled."
            ),
            Wrong((KVM_NR_MEM_OBJS // 2 * (which - 1) + 1,), "two objects go only where a new GiB begins."),
        ],
    )
    ordinal = {2: "second", 3: "third"}[which]
    return Draft(
        f"The guest of a new VM writes to IPA {start:#x}, then every {stride // (1 << 20)} MiB further up, with one "
        f"vCPU. The first write fills the vCPU's memory cache to {KVM_NR_MEM_OBJS}. At which write is it filled for "
        f"the {ordinal} time?",
        (f"the next GiB begins at {-(-(start + 1) // PUD_SIZE) * PUD_SIZE:#x}",),
        numbers("write number"),
        (right,),
        wrong,
        (
            "Each write needs a level 3 table. The first needs a level 2 table too, as does the first in a new GiB.",
            "Count down from 40 until fewer than 2 are left: the write after that fills it.",
            "It is filled to 40, not by 40.",
        ),
        f"The cache is filled at writes {', '.join(map(str, regular))}: when fewer than 2 are left.",
    )


@template("no-memory", "An allocation fails during the top-up", "04", "09")
def no_memory(draw: Random) -> Draft | None:
    """Ask for result and objects when allocation k fails."""
    held, k = draw.choice((0, 0, 1, 1, 2, 3, 5)), draw.randrange(1, 9)
    machine = boot()
    mine = machine.kvm(machine.create_vm()).vcpus[0].mmu_page_cache
    mmu_topup_memory_cache(mine, machine.linux.pages, held, held)
    machine.fail_alloc(k)
    ret = mmu_topup_memory_cache(mine, machine.linux.pages, LEAST, KVM_NR_MEM_OBJS)
    results = ("0", "-ENOMEM")
    right = results.index(strerror(ret)), mine.nobjs
    got = held + k - 1
    wrong = keep(
        right,
        [
            Wrong((1, held), "that gives back what was got.", "M31") if held < LEAST
            else Wrong((1, got), "with 2 or more in the cache nothing is allocated, so nothing can fail."),
            Wrong((0, got), "an allocation that fails ends it with -ENOMEM, even with enough in the cache by then.")
            if held < LEAST
            else Wrong((0, KVM_NR_MEM_OBJS), "that fills it although there are enough.", "M29"),
            Wrong((1, 0), "the objects that were there are not thrown away."),
            Wrong((0, KVM_NR_MEM_OBJS), "the allocation that fails ends it."),
            Wrong((1, got + 1), "the allocation that failed gave nothing."),
        ],
    )  # fmt: skip
    return Draft(
        f"A vCPU's memory cache holds {held} object{'s' * (held != 1)} when mmu_topup_memory_cache(cache, {LEAST}, "
        f"{KVM_NR_MEM_OBJS}) is called, and from then on allocation number {k} fails. What does it return, and how "
        "many objects are left?",
        (),
        Fields((Field("returns", results), Field("objects"))),
        right,
        wrong,
        (
            "Is anything allocated at all? Only with fewer than 2.",
            "What was got before the failure stays in the cache.",
            "The failure is reported even if 2 have been reached.",
        ),
        f"{held} is "
        f"{'enough: nothing is allocated' if held >= LEAST else f'too few; {k - 1} more came, then one failed'}.",
    )


STEPS = {
    "cache/topped_up": "fill the memory cache, which may sleep",
    "notifier/sampled": "read mmu_notifier_seq",
    "page/looked_up": "find the host's page, which may sleep",
    "lock/taken": "take mmu_lock",
    "notifier/passed": "test count, and whether seq has changed",
    "tables/mapped": "write the descriptor",
    "lock/released": "release mmu_lock",
}
"""Marks of a fault in the order of user_mem_abort, and what they are."""
ENDS = ("cache/topped_up", "notifier/sampled", "lock/released")
"""Steps that may be left out: nothing is said about the others that needs them."""
AFTER = (
    ("cache/topped_up", "lock/taken", "filling may sleep, and nobody may sleep with a spinlock held.", "M30"),
    ("notifier/sampled", "page/looked_up", "what changes between look-up and sample would never be noticed.", "M33"),
    ("page/looked_up", "lock/taken", "finding the page may sleep, and nobody may sleep with a spinlock held.", "M30"),
    ("lock/taken", "notifier/passed", "without the lock the host can change the page right after the test.", "M33"),
    ("notifier/passed", "tables/mapped", "the page may have been taken back: test first, then publish.", "M15"),
    ("tables/mapped", "lock/released", "others may look at the tables as soon as the lock is free.", "M32"),
)
EXTRA = (
    ("allocate a table with GFP_KERNEL, under the lock", "GFP_KERNEL may sleep.", "M30"),
    ("flush the TLB, as an entry has appeared", "an absent entry is in no TLB.", "M18"),
    ("in a loop, find the page again until seq stays the same", "the kernel does not try again by itself.", "M39"),
    ("send the address to the guest's kernel", "the guest's kernel has no part in it.", "M08"),
    ("fill in the entries of the whole slot", "only the page that faulted is mapped.", "M03"),
    ("ask the host to keep the page for good", "the page is held only until the fault has ended.", "M40"),
)


@template("fault-steps", "The steps of a fault in order", "04", "07")
def fault_steps(draw: Random) -> Draft | None:
    """Ask for the steps of a fault in a right order."""
    slot, machine = any_slot(draw), boot()
    machine.access(machine.create_vm([slot]), slot.ipa, "write")
    begun = next(event.seq for event in machine.stream if event.name == "slot/found")
    seen = [name for name, _ in machine.stream.marks(begun) if name in STEPS]
    away = draw.sample(ENDS, draw.randrange(len(ENDS)))
    order = [name for name in dict.fromkeys(seen) if name not in away]
    extras = draw.sample(EXTRA, 2)
    shown = [*order, *(words for words, _, _ in extras)]
    draw.shuffle(shown)
    place = {name: shown.index(name) for name in shown}
    after = [rule for rule in AFTER if rule[0] in order and rule[1] in order]
    rules = [Rule(place[first], place[then], here, belief) for first, then, here, belief in after]
    rules += [Rule(place[words], -1, here, belief) for words, here, belief in extras]
    right = tuple(place[name] for name in order)

    def without(words: str, at: int) -> tuple[int, ...]:
        return (*right[:at], place[words], *right[at + 1 :])

    def swapped(first: str, then: str) -> tuple[int, ...]:
        a, b = place[first], place[then]
        return tuple(b if n == a else a if n == b else n for n in right)

    wrong = [Wrong(swapped(first, then), here, belief) for first, then, here, belief in (after[0], after[-1])]
    wrong += [Wrong(without(words, len(order) - 1), here, belief) for words, here, belief in extras]
    return Draft(
        f"A guest's first write to a page: put {len(order)} of these steps of user_mem_abort into an order that is "
        "right. Two do not belong there.",
        (),
        Order(tuple(STEPS.get(name, name) for name in shown), len(order), tuple(rules)),
        right,
        tuple(wrong),
        (
            "Which steps may sleep? They have to come before the spinlock.",
            "The sequence number is read before the look-up, and compared after the lock is taken.",
            "Whatever of this is there: fill, read seq, find the page, lock, test, write, unlock.",
        ),
        "May sleep: before the lock. Read seq before the look-up, test it under the lock, and only then write.",
    )
