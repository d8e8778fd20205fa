"""Read the notifier scene as data, and compare it with the machine it was made from."""

import random
from contextlib import suppress

import pytest

from kvmlab.engine import Config, InputError, KernelBug, Machine, Slot
from kvmlab.engine.hardware.walker import walk
from kvmlab.engine.host.frames import REFS
from kvmlab.engine.host.mm import PRESENT
from kvmlab.engine.race import PLACES, RIVALS
from kvmlab.scenes.notifier.picture import host_words
from kvmlab.scenes.notifier.stage import MOST_ROWS
from kvmlab.scenes.notifier.story import NotifierStory, notifier_scene
from kvmlab.scenes.scene import Scene, plain

SLOTS = [Slot(0x8000_0000, 0x3000, 0x4000_0000), Slot(0x9000_0000, 0x3000, 0x4000_2000)]
SHARED = 0x4000_2000
IPAS = [0x8000_0000, 0x8000_1000, 0x8000_2000, 0x9000_0000, 0x9000_1000, 0x9000_2000]
HVAS = [0x4000_0000 + 0x1000 * page for page in range(5)]


def guest(**config) -> Machine:
    machine = Machine(Config(**config))
    machine.create_vm(SLOTS)
    for ipa in IPAS[:4]:
        machine.access(0, ipa, "write", value=7)
    return machine


def everything(**config) -> Machine:
    """Each of the host's acts once, loads and stores between them, and races."""
    machine = guest(**config)
    machine.swap_out(0, SHARED)
    machine.access(0, 0x9000_0000)
    machine.ksm_merge(0, HVAS[0], 0, HVAS[1])
    machine.access(0, IPAS[0])
    machine.access(0, IPAS[0], "write", value=9)
    machine.host_write(0, HVAS[1], 5)
    machine.discard(0, HVAS[1], 0x3000)
    for writable in (False, True):
        machine.protect(0, HVAS[0], 0x2000, writable=writable)
    machine.swap_in(0, HVAS[1])
    machine.race(0, {"ipa": IPAS[1], "access": "write"}, "discard", {"hva": HVAS[1], "size": 0x2000}, steps=2)
    machine.access(0, IPAS[2], "write")
    machine.swap_in(0, SHARED)
    machine.race(0, {"ipa": IPAS[4], "access": "write"}, "swap_out", {"hva": SHARED})
    return machine


def without() -> Machine:
    return everything(CONFIG_MMU_NOTIFIER=False)


def hostile() -> Machine:
    """Whatever a run can hold: another VM, devices, slots that come and go, errors, a kernel that dies, an end."""
    machine = guest(ncpus=3)
    machine.create_vm([Slot(0x8000_0000, 0x2000, 0x5000_0000), Slot((1 << 40) - 0x1000, 0x2000, 0x6000_0000)])
    machine.access(1, 0x8000_0000, "write", value=7, cpu=1)
    machine.ksm_merge(0, HVAS[1], 1, 0x5000_0000)
    machine.ksm_merge(1, 0x5000_0000, 0, HVAS[1])
    machine.access(1, 0x8000_0000, "write", value=8, cpu=1)
    machine.enter(0, cpu=2)
    machine.leave(2)
    machine.host_touch(0, 0x1000)
    machine.ioremap(0, 0x9000_2000, 0x2C00_6000, 0x1000)
    machine.access(0, 0x9000_2000)
    machine.swap_in(0, HVAS[4])
    machine.access(0, 0x7000_0000)
    machine.access(0, 0x7000_0000, "fetch")
    machine.protect(0, HVAS[3])
    machine.access(0, 0x9000_1000, "write")
    machine.remove_slot(0, 1)
    machine.swap_out(0, SHARED)
    machine.access(0, 0x9000_0000)
    machine.add_slot(0, Slot(0x9000_0000, 0x1000, HVAS[0]))
    machine.add_slot(0, Slot(0xA000_0000, 0x40_0000, 0x7000_0000))
    machine.discard(0, 0x7000_0000, 0x40_0000)
    machine.fail_alloc(1)
    machine.access(0, 0xA000_0000, "write")
    machine.access(0, 0xA000_0000, "write")
    machine.swap_in(0, 0x3000_0000)
    machine.swap_in(1, 0x6000_1000)
    with suppress(KernelBug):
        machine.discard(1, 0x6000_1000)
    machine.race(0, {"ipa": 0x8000_0000}, "host_write", {"hva": HVAS[0], "value": 3}, "after the test", 1)
    machine.destroy_vm(0)
    return machine


def at_random(seed: int, **config) -> Machine:
    """Random commands of the guest and the host; those that are refused do nothing."""
    machine, draw = guest(**config), random.Random(seed)
    for _ in range(40):
        ipa, hva = draw.choice(IPAS), draw.choice(HVAS)
        size = 0x1000 * draw.randrange(1, 4)
        access = {"ipa": ipa, "access": draw.choice(["read", "write"]), "value": draw.randrange(3)}
        args = {
            "discard": {"hva": hva, "size": size},
            "protect": {"hva": hva, "size": size, "writable": draw.random() < 0.7},
            "ksm_merge": {"hva": hva, "vm2": 0, "hva2": draw.choice(HVAS)},
            "host_write": {"hva": hva, "value": draw.randrange(3)},
        }
        act = draw.choice(RIVALS)
        with suppress(InputError):
            kind = draw.randrange(3)
            if kind == 0:
                machine.do("access", vm=0, **access)
            elif kind == 1:
                machine.do(act, vm=0, **args.get(act, {"hva": hva}))
            else:
                machine.race(
                    0, access, act, args.get(act, {"hva": hva}), draw.choice(list(PLACES)), draw.choice([None, 1, 2])
                )
    return machine


RUNS = {
    "everything": everything,
    "without notifiers": without,
    "hostile": hostile,
    **{f"random {seed}": lambda seed=seed: at_random(seed) for seed in range(4)},
    "random, without notifiers": lambda: at_random(9, CONFIG_MMU_NOTIFIER=False),
    "random, with no test": lambda: at_random(11, retry="none"),
    "random, sampled late": lambda: at_random(12, retry="sampled late"),
    "random, wide": lambda: at_random(13, long_bits=64, host_ram_base=0xF0_0000_0000, fast_gup=True),
    "random, frames used again": lambda: at_random(10, CONFIG_MMU_NOTIFIER=False, reuse_frames=True),
}


def scene(machine: Machine) -> Scene:
    return notifier_scene(machine.stream, notify=machine.config.CONFIG_MMU_NOTIFIER)


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest) -> tuple[Machine, Scene]:
    machine = RUNS[request.param]()
    return machine, scene(machine)


def pictures(told: Scene):
    """Yield each step with what it shows."""
    picture = dict(told.base())
    for step in told.steps:
        for part, state, text in step.patches:
            picture[part] = (picture[part][0] if state is None else state, picture[part][1] if text is None else text)
        yield step, picture


def rows(told: Scene):
    """The rows of the picture: (hva, ipa)."""
    return [
        tuple(int(n, 16) for n in part[1:].split("."))
        for part in told.base()
        if part[0] == "e" and part.count(".") == 1
    ]


def test_every_step_shows_the_machines_state(run: tuple[Machine, Scene]) -> None:
    machine, told = run
    for step, shown in pictures(told):
        if not step.event:
            continue
        machine.seek(step.event)
        kvm, host = machine.linux.vm_list[0], machine.hosts[0]
        assert (shown["seq.t"][1], shown["cnt.t"][1]) == (str(kvm.mmu_notifier_seq), str(kvm.mmu_notifier_count))
        assert (shown["lk"][0] == "held") == bool(kvm.mmu_lock.held), step.title
        for hva, ipa in rows(told):
            entry, words = shown[f"e{hva:x}.{ipa:x}"], shown[f"h{hva:x}.w"][1]
            if not entry[0]:
                continue  # not met yet
            pte = host.pte(hva)
            assert words == host_words(pte)
            frames = {shown[f"{kind}{hva:x}.v"][1] for kind in "fd"} - {""}
            assert frames == ({f"{pte >> 12:#x}"} if pte & PRESENT else set()), step.title
            slots = [s for s in kvm_slots(kvm) if s[0] <= ipa >> 12 < s[0] + s[1]]
            if slots and slots[0][2] + ((ipa >> 12) - slots[0][0] << 12) != hva:
                continue  # the address shows another host page now
            found = walk(machine.linux.memory, kvm.pgd, ipa) if kvm.pgd else None
            value = shown[f"e{hva:x}.{ipa:x}.v"][1]
            if found is None or found.fault:
                assert value == ""
                assert entry[0] == "in inv"
            elif "dev" in entry[0]:
                assert value == f"{found.pa:#x}"
            else:
                assert value == f"{found.descriptor:#x}"
                apart = not pte & PRESENT or found.pa >> 12 != pte >> 12
                assert (shown[f"x{hva:x}.{ipa:x}"][0] != "off") == apart
                if apart and not machine.frames.get(found.pa >> 12, REFS):
                    assert " old" in entry[0]
                    assert "stale" in shown[f"x{hva:x}.{ipa:x}"][0]
                    assert shown[f"x{hva:x}.{ipa:x}.w"][1] == "free"
    machine.seek(len(machine.stream))


def kvm_slots(kvm):
    words = kvm.memslots.values()
    return [words[at : at + 4] for at in range(0, len(words), 4) if words[at + 1]]


def test_reading_bit_by_bit_is_reading_at_once(run: tuple[Machine, Scene]) -> None:
    machine, told = run
    events = list(machine.stream)
    cuts = [event.seq for event in events if event.asked]
    story = NotifierStory(0, machine.config.CONFIG_MMU_NOTIFIER)
    draw, start = random.Random(3), 0
    for cut in [cut for cut in cuts[1:] if draw.random() < 0.5] + [len(events)]:
        grown = story.read(events[start:cut])
        start = cut
        assert grown.steps == told.steps[: len(grown.steps)]
        assert story.seen == cut
    assert grown.to_json() == told.to_json() == scene(machine).to_json()
    assert Scene.from_dict(told.to_dict()) == told


def test_words_and_order(run: tuple[Machine, Scene]) -> None:
    _, told = run
    assert all(a.event <= b.event for a, b in zip(told.steps, told.steps[1:], strict=False))
    for step in told.steps:
        assert step.why.count("{e|") == 1
        assert step.why.count("{c|") <= 1
        assert "!" not in step.title + plain(step.why)
    assert len(told.steps) > 30


def test_with_notifiers_the_guest_never_keeps_a_frame_that_was_given_away() -> None:
    for seed in range(4):
        told = scene(at_random(seed))
        assert not any(step.mark == "stale" for step in told.steps)
        assert not any(" old" in state for _, shown in pictures(told) for state, _ in shown.values())


def test_without_notifiers_it_reads_what_is_not_its_memory() -> None:
    told = scene(without())
    titles = [step.title for step in told.steps if step.mark == "stale"]
    assert titles[:2] == [
        "Frame 0xa0002 is free, and still mapped",
        "The guest's load goes to frame 0xa0002, not its own",
    ]
    assert "The guest writes to frame 0xa0000, which it may not" in titles
    assert not any(step.mark == "notifier" for step in told.steps)
    assert told.at(3)["cfg"][1] == "CONFIG_MMU_NOTIFIER is off: nobody tells KVM"


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("host", ["discard", "swap_out"])
def test_a_hosts_step_over_a_window_means_retry(host: str, at: str) -> None:
    machine = guest()
    machine.discard(0, HVAS[0])
    machine.swap_in(0, HVAS[0])
    machine.race(0, {"ipa": IPAS[0], "access": "write"}, host, {"hva": HVAS[0]}, at)
    told = scene(machine)
    for group in told.groups:
        inside = {step.lane for step in told.steps[group.first : group.last + 1]}
        assert ("host" in inside) == (group.after == "retry")
        assert group.before == "window"
    assert [group.after for group in told.groups].count("retry") == (at in ("before the look-up", "before the lock"))


def test_a_kernel_without_the_test_maps_what_has_gone() -> None:
    machine = guest(retry="none")
    machine.discard(0, HVAS[0])
    machine.swap_in(0, HVAS[0])
    machine.race(0, {"ipa": IPAS[0], "access": "write"}, "discard", {"hva": HVAS[0]})
    told = scene(machine)
    assert any(step.title == "Sampled 1, now 2, count 0: mapped all the same" for step in told.steps)
    assert "stale" in [step.mark for step in told.steps]


def test_one_host_page_in_two_slots_is_handled_twice() -> None:
    machine = guest()
    machine.swap_out(0, SHARED)
    told = scene(machine)
    (step,) = [step for step in told.steps if step.mark == "notifier"]
    assert told.at(told.steps.index(step))[f"h{SHARED:x}.w"][1] == "in swap"
    assert "2 entries cleared" in step.title
    assert step.ask is not None
    assert step.ask.choices[step.ask.right] == "2"
    assert step.ask.beliefs[step.ask.choices.index("1")] == "M05"
    assert {f"e{SHARED:x}.{ipa:x}" for ipa in IPAS[2:4]} <= set(step.now)


def test_questions_come_from_the_run_and_not_too_often() -> None:
    beliefs, asked = set(), []
    for make in (everything, without, lambda: at_random(1)):
        told = scene(make())
        here = [step.ask for step in told.steps if step.ask]
        asked += here
        kinds = [(one.because) for one in here]
        assert max(kinds.count(kind) for kind in kinds) <= 2
        beliefs |= {belief for one in here for belief in one.beliefs if belief}
    assert beliefs >= {"M05", "M15", "M19", "M33", "M37", "M38", "M39", "M40", "M41"}


def test_the_flush_question_counts_flushes() -> None:
    machine = everything()
    told = scene(machine)
    questions = [step for step in told.steps if step.ask and "TLB flushes" in step.ask.ask]
    assert questions
    for step in questions:
        before = max(e.seq for e in machine.stream if e.name == "kvm_unmap_hva_range" and e.seq < step.event)
        flushes = [e for e in machine.stream if e.name == "tlb/flushed" and before < e.seq < step.event]
        assert step.ask.choices[step.ask.right] == str(len(flushes))


def test_change_pte_maps_read_only() -> None:
    told = scene(everything())
    (first, *_) = [step for step in told.steps if step.ask and "change_pte" in step.ask.ask]
    assert first.ask.choices[first.ask.right].endswith("mapped, read-only")
    assert "0xa000077f is entered, read-only" in first.why


def test_nothing_to_show_is_still_a_scene() -> None:
    assert len(notifier_scene([]).steps) == 1
    assert len(notifier_scene(guest().stream, vm=7).steps) == 1


def test_a_long_run_stays_small() -> None:
    machine = Machine()
    machine.create_vm([Slot(0x8000_0000, 1 << 20, 0x4000_0000)])
    for page in range(250):
        machine.access(0, 0x8000_0000 + 0x1000 * page, "write", value=page)
    machine.discard(0, 0x4000_0000, 0x4_0000)
    told = scene(machine)
    assert len(told.steps) > 1900
    assert len(rows(told)) == MOST_ROWS
    assert told.at(len(told.steps) - 1)["more"][1] == f"{250 - MOST_ROWS} more pages are not drawn"
    assert max(len(step.patches) for step in told.steps[1:]) < 60
    assert sum(len(step.patches) for step in told.steps) / len(told.steps) < 12


def test_a_command_of_very_many_steps_is_cut_short() -> None:
    machine = guest()
    machine.discard(0, HVAS[0])
    machine.swap_in(0, HVAS[0])
    guests = {"ipa": IPAS[0], "access": "write", "limit": 200}
    args = {"hva": HVAS[0], "size": 0x1000}
    machine.kvm(0).mmu_notifier_count = 1  # a range that nobody closes
    machine.race(0, guests, "discard", args, "after the test")
    told = scene(machine)
    assert any("more steps like these" in step.title for step in told.steps)
    assert len(told.steps) < 400
