"""Every exercise answered from its text alone, by a few plain lines: no engine, no template."""

import re
from itertools import combinations, permutations
from math import comb

PAGE, REGION, GIB = 1 << 12, 1 << 21, 1 << 30


def hexes(text):
    return [int(word, 16) for word in re.findall(r"0x[0-9a-f]+", text)]


def numbers(text):
    return [int(word) for word in re.findall(r"(?<![\w.])\d+(?![\w.x])", text)]


def slots(one):
    """(ipa, last, hva) of each slot that is given."""
    return [tuple(hexes(line)) for line in one.given if "IPA" in line and "to" in line and "host address" in line]


def choose(one, words):
    """The number of the one choice that begins with these words."""
    fits = [n for n, choice in enumerate(one.form.choices) if choice.startswith(words)]
    assert len(fits) == 1, (words, one.form.choices)
    return (fits[0],)


def address_kind(one):
    line = one.given[0]
    kinds = {"HPFAR": "IPA", "walk": "IPA", "slot": "HVA", "host wants": "HVA", "stored": "PA", "TLB": "PA"}
    (ipa, last, hva), (number,) = slots(one)[0], hexes(line)
    kind = next(kind for word, kind in kinds.items() if word in line)
    inside = {"IPA": ipa <= number <= last, "HVA": hva <= number <= hva + last - ipa, "PA": number >= 0xA000_0000}
    assert inside[kind]
    return choose(one, f"{kind}:")


def gfn(one):
    return divmod(hexes(one.task)[0], PAGE)


def hva(one):
    x = hexes(one.task)[0]
    return next((h + x - ipa,) for ipa, last, h in slots(one) if ipa <= x <= last)


def fault_address(one):
    hpfar, hxfar = (hexes(line)[0] for line in one.given)
    return ((hpfar >> 4 << 12) + hxfar % PAGE,)


def index(one):
    x = hexes(one.task)[0]
    return x // GIB, x // REGION % 512, x // PAGE % 512, x % PAGE


def table_frames(one):
    pages = [hexes(line)[0] for line in one.given[1:]]
    return (2 + len({p // GIB for p in pages}) + len({p // REGION for p in pages}),)


def page_count(one):
    level, home = int(re.search(r"level (\d)", one.task)[1]), hexes(one.task)[0]
    mapped = set()
    for line in one.given[1:]:
        page = hexes(line)[-1] // PAGE * PAGE
        mapped = mapped - {page} if line.startswith("host") else mapped | {page}
    if level == 3:
        return (1 + sum(p // REGION == home // REGION for p in mapped),)
    return (1 + len({p // REGION for p in mapped if p // GIB == home // GIB}),)


def unmap(one):
    gone, pages = hexes(one.task)[0], {hexes(line)[0] for line in one.given}
    rest = pages - {gone}
    frames = 0
    if not any(p // REGION == gone // REGION for p in rest):
        frames = 1 + (not any(p // GIB == gone // GIB for p in rest))
    return frames, 0


def survivors(one):
    start, size = hexes(one.task)
    fixed = "later fix" in one.task
    pages = [hexes(words)[0] for words in one.form.choices]
    left, at = set(pages), start
    while at < start + size:
        regions, gibs = {p // REGION for p in left}, {p // GIB for p in left}
        step = PAGE
        if at // GIB not in gibs:
            step = GIB
        elif at // REGION not in regions:
            step = REGION
        else:
            left = {p for p in left if p // PAGE != at // PAGE}
            if at // REGION not in {p // REGION for p in left}:
                step = REGION if at // GIB in {p // GIB for p in left} else GIB
        at = (at // step + 1) * step if fixed else at + step
    return tuple(n for n, p in enumerate(pages) if p in left)


def leak(one):
    """Where the offset at which the loop comes into a region lies beyond the page, the page is skipped."""
    pages = sorted(hexes(line)[0] for line in one.given)
    alive, x = set(pages), 0
    while x < 1 << 40:
        if x // GIB not in {p // GIB for p in alive}:
            x += GIB
        elif x // REGION not in {p // REGION for p in alive}:
            x += REGION
        elif not [p for p in alive if p // REGION == x // REGION and p >= x // PAGE * PAGE]:
            x += (REGION - x % REGION + PAGE - 1) // PAGE * PAGE  # page by page to the end of the region, nothing found
        else:
            x += min(p for p in alive if p // REGION == x // REGION and p >= x // PAGE * PAGE) - x // PAGE * PAGE
            alive -= {x // PAGE * PAGE}
            if x // REGION in {p // REGION for p in alive}:
                x += PAGE
            else:
                x += REGION if x // GIB in {p // GIB for p in alive} else GIB
    (left,) = alive
    return choose(one, f"write {left:#x}")


def cache(one):
    held, gibs, regions, after = 0, set(), set(), []
    for line in one.given:
        page = hexes(line)[0]
        held = held if held >= 2 else 40
        held -= (page // GIB not in gibs) + (page // REGION not in regions)
        gibs.add(page // GIB)
        regions.add(page // REGION)
        after.append(held)
    return tuple(after)


def top_up(one):
    start, stride = hexes(one.task)[0], int(re.search(r"every (\d+) MiB", one.task)[1]) << 20
    wanted = {"second": 2, "third": 3}[re.search(r"second|third", one.task)[0]]
    held, gibs, regions, fills, page, write = 0, set(), set(), 0, start, 0
    while True:
        write += 1
        if held < 2:
            held, fills = 40, fills + 1
            if fills == wanted:
                return (write,)
        held -= (page // GIB not in gibs) + (page // REGION not in regions)
        gibs.add(page // GIB)
        regions.add(page // REGION)
        page += stride


def no_memory(one):
    held = int(re.search(r"holds (\d+)", one.task)[1])
    k = int(re.search(r"allocation number (\d+)", one.task)[1])
    return (0, held) if held >= 2 else (1, held + k - 1)


def fault_steps(one):
    order = ("fill the memory", "read mmu_notifier_seq", "find the host's page, which", "take mmu", "test count",
             "write the desc", "release mmu")  # fmt: skip
    found = [[n for n, words in enumerate(one.form.steps) if words.startswith(first)] for first in order]
    return tuple(places[0] for places in found if places)


def range_flushes(one):
    start, end = hexes(one.task)
    total = 0
    for ipa, last, first in slots(one):
        a, b = max(start, first), min(end, first + last + 1 - ipa)
        total += max(0, -(-b // PAGE) - a // PAGE) if a < b else 0
    return (total,)


def retry(one):
    sampled = numbers(one.given[0])[-1]
    seq, count = numbers(one.given[1])
    return choose(one, "it maps nothing and returns 1" if count or seq != sampled else "it maps the page")


def counters(one):
    seq, count = numbers(one.given[0])
    for line in one.given[1:]:
        seq += "start" not in line
        count += ("range_start" in line) - ("range_end" in line)
    return seq, count


def ioremap(one):
    ipa, size = hexes(one.task)
    end = (ipa + size + 0xFFF) // PAGE * PAGE % (1 << 32)
    return (max(0, -(-(end - ipa) // PAGE)),)


def ioremap_error(one):
    if "mapped already" in one.given[0]:
        return 1, int(re.search(r"page (\d+)", one.given[0])[1]) - 1, 0
    fails = int(re.search(r"number (\d+)", one.given[0])[1])
    # page 1 fills 2 and uses both for tables; page 2 fills 2 again, which last for all the others
    return (2, 0, 0) if fails <= 2 else (2, 1, 2)


def first_to_act(one):
    said = {
        "have just been flushed": "the CPU's walker",
        "process has never touched": "KVM, after the host",
        "moved the page to swap": "KVM, after the host",
        "so the host has the page": "KVM alone",
        "it has only read": "KVM alone",
        "fetches an instruction": "the guest's own kernel",
        "loads from IPA": "KVM first, and then QEMU",
        "(stage 1) have no entry": "the guest's own kernel",
    }
    return choose(one, next(actor for words, actor in said.items() if words in one.task))


def return_value(one):
    ipa, (first, last, _) = hexes(one.task)[0], tuple(hexes(one.given[0]))
    kind = one.task.split(" fault")[0].lower()
    fetch, load, valid = "a fetch" in one.task, "a load" in one.task, "ISV = 1" in one.task
    if kind == "access flag":
        return choose(one, "-EFAULT")
    if first <= ipa <= last:
        return choose(
            one, "-EFAULT" if kind == "permission" and (fetch or (load and valid)) else "1, and the guest goes"
        )
    if fetch:
        return choose(one, "1, and the guest gets")
    if kind == "permission":
        return choose(one, "-EFAULT")
    return choose(one, "0, and QEMU" if valid else "-ENOSYS")


def faults(one):
    allowed, total = {}, 0
    for line in one.given:
        if line.startswith("("):
            continue
        access, page = line.split()
        if page not in allowed or (access == "write" and allowed[page] == "read"):
            total += 1
            allowed[page] = access
    return (total,)


def access_kind(one):
    x = hexes(one.task)[0]
    (ipa, last, _), (device, size), (used,) = (tuple(hexes(line)) for line in one.given)
    if device <= x < device + size or x // PAGE == used // PAGE:
        return choose(one, "it is done directly")
    if ipa <= x <= last:
        return choose(one, "it faults, is mapped")
    return choose(one, "it faults, and the guest gets" if "fetch" in one.task else "it faults, and QEMU")


def change_pte(one):
    _, pa = hexes(one.task)
    if "nothing else" in one.given[1]:
        return 0, 0
    return pa // PAGE * PAGE + 0x77F, int("is mapped: its leaf" in one.given[1])


def host_change(one):
    calls = {
        "swaps out": (1, 1), "throws": (2, 1), "KSM put": (3, 0), "KSM has merged": (3, 0),
        "right to write": (2, 1), "process read": (0, 0),
    }  # fmt: skip
    return next(answer for words, answer in calls.items() if words in one.task)


def is_write(hsr):
    return hsr >> 26 == 0x24 and not (hsr >> 24 & 1 and not hsr >> 6 & 1)


def syndrome(one):
    hsr = hexes(one.given[0])[0]
    return (hsr & 0x3C) // 4 - 1, hsr & 3, int(is_write(hsr))


def leaf(one):
    pfn, write = hexes(one.given[2])[0], "guest writes" in one.task
    return pfn * PAGE + (0x7FF if write else 0x77F), int(write)


def descriptor(one):
    word, ipa = hexes(one.given[0])[0], hexes(one.task)[0]
    access = re.search(r"guest's (\w+) at", one.task)[1]
    if word & 3 != 3:
        return choose(one, "translation")
    if not word >> 10 & 1:
        return choose(one, "access flag")
    allowed = word >> 7 & 1 if access == "write" else word >> 6 & 1 and not (access == "fetch" and word >> 54 & 1)
    return choose(one, f"it goes to PA {word % (1 << 40) // PAGE * PAGE + ipa % PAGE:#x}" if allowed else "permission")


def walk_reads(one):
    n, m = map(int, re.findall(r"have (\d)", one.task))
    return ((n + 1) * (m + 1) - 1,)


def log_line(one):
    (page, hsr, va, _), (first, last, _) = hexes(one.given[0]), slots(one)[0]
    called = 0 if first <= page <= last else 2 if hsr >> 26 == 0x20 else 1
    return page + va % PAGE, int(is_write(hsr)), called


def figure_step(one):
    """By the titles alone: each claim comes true at a step that says so."""
    says = {
        "tables map": r"Level 3, entry \d+ maps", "TLB holds": r"The TLB keeps", "has a VMID": r"The guest gets VMID",
        "mmu_lock is held": r"KVM takes mmu_lock", "memory cache has": r"the cache is filled",
        "points to a level 2": r"becomes the level 2 table",
    }  # fmt: skip
    title = next(title for words, title in says.items() if words in one.task)
    fits = [n for n, words in enumerate(one.form.choices) if re.search(title, words)]
    return (min(fits, key=lambda n: int(one.form.choices[n].split(".")[0])),)


def function(one):
    says = {
        "empty level 1 table": "kvm_alloc_stage2_pgd", "gets VMID": "update_vttbr",
        "KVM reads HSR": "kvm_handle_guest_abort",
        "KVM returns 1": "kvm_handle_guest_abort", "in memory slot": "gfn_to_memslot",
        "the cache": "mmu_topup_memory_cache",
        "KVM remembers": "user_mem_abort", "The host names": "gfn_to_pfn_prot", "The retry test": "mmu_notifier_retry",
        "becomes the level": "stage2_set_pte", " maps pfn": "stage2_set_pte", "is cleared": "clear_pte_entry",
        "tells KVM": "kvm_mmu_notifier_invalidate_page", "looks for guest pages": "kvm_unmap_hva",
        "is flushed": "kvm_tlb_flush_vmid", "to swap": "try_to_unmap_one", "is in swap": "try_to_unmap_one",
        "level 3 table at": "clear_pmd_entry", "level 2 table at": "clear_pud_entry",
    }  # fmt: skip
    name = next(name for words, name in says.items() if words in one.task)
    return (one.form.choices.index(name),)


def schedules(one):
    a, b = (int(number) for number in re.findall(r"Task [AB] has (\d+)", one.task))
    if locked := re.search(r"steps 1 to (\d)", one.task):
        a -= int(locked[1]) - 1
    assert len(list(combinations(range(a + b), a))) == comb(a + b, a)
    return (comb(a + b, a),)


def race_end(one):
    """Between sample and test a change of any page makes one fault map nothing."""
    own, when = "that very page" in one.task, re.search(r"under way, (.*?), the host", one.task)[1]
    if when == "before the sample":
        return 1, 0
    if when == "after the test":
        return (2, 0) if own else (1, 0)
    return 2, 1


def store_order(one):
    assert len(list(permutations("GVT"))) == 6
    return tuple(
        n
        for n, words in enumerate(one.form.choices)
        if words.split(", ").index("VTTBR") < words.split(", ").index("generation")
    )


def tlb_hits(one):
    vmid, asid = map(int, re.search(r"VMID (\d+); .* ASID (\d+) reads", one.task).groups())
    page = hexes(one.task)[0]
    hits = []
    for n, words in enumerate(one.form.choices):
        v, a = int(re.search(r"VMID (\d+)", words)[1]), re.search(r"ASID (\d+)", words)
        if v == vmid and hexes(words)[0] == page and (a is None or int(a[1]) == asid):
            hits.append(n)
    return tuple(hits)


def vttbr(one):
    root, vmid = hexes(one.given[0])[0], numbers(one.given[1])[0]
    low = sum(1 << bit for bit in range(12, 39))
    good = sum(1 << bit for bit in range(13, 40))
    return (root & low) + (vmid << 48), (root & good) + (vmid << 48)


def vmid(one):
    bits, who = int(re.search(r"have (\d) bits", one.task)[1]), int(re.search(r"guest (\d+) at", one.task)[1])
    given, generation, following = {}, 1, 0
    for guest in map(int, one.given[0].split()):
        if given.get(guest, (0, 0))[1] == generation:
            continue
        if following == 0:
            generation, following = generation + 1, 1
        given[guest] = following, generation
        following = (following + 1) % (1 << bits)
    return given[who]


def flushes(one):
    guests, bits, entries = (int(n) for n in re.match(r"(\d+) .*have (\d+) bits.*first (\d+)", one.task).groups())
    usable = 2**bits - 1
    return (1 + (entries - 1) // usable if guests > usable else 1,)


def short_lived(one):
    count, bits = (int(n) for n in re.match(r"(\d+) .*have (\d+) bits", one.task).groups())
    usable, resident = 2**bits - 1, "lives all the time" in one.task
    if not resident:
        return (1 + (count - 1) // usable,)
    order = [0] + [guest for n in range(1, count + 1) for guest in (n, 0)]
    have, left, rollovers = set(), 0, 0
    for guest in order:
        if guest not in have:
            if not left:
                have, left, rollovers = set(), usable, rollovers + 1
            have.add(guest)
            left -= 1
    return (rollovers,)


def allocators(one):
    running = int(re.search(r"CPUs, (\d+) of them runs?,", one.task)[1])
    return 0, running, running, 0


SOLVERS = {name.replace("_", "-"): value for name, value in list(globals().items()) if callable(value)}
