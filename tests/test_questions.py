"""A learner who has read only the notebooks can answer these questions: each has the cell that answers it.

In ``questions.json`` stand the question, the notebook and the cell; words that the cell must contain (its text without
marks and links); and, where an answer can be computed, the name of a function below: the words that it returns come
from the engine, and must stand in the cell, too.
"""

import ast
import json
import re
from itertools import cycle, pairwise
from pathlib import Path

import pytest

from kvmlab.engine import Config, Machine
from kvmlab.engine.config import RETRY_CHECKS
from kvmlab.engine.hardware.descriptor import decode
from kvmlab.engine.hardware.walker import walk
from kvmlab.engine.host.frames import REFS
from kvmlab.engine.litmus import FaultAgainstHost, count
from kvmlab.panels.starts import RAM, one_guest
from kvmlab.rollover import measure
from kvmlab.rollover.walks import walk_reads
from kvmlab.scenes.descriptors import leaf_of
from kvmlab.scenes.labels import LABELS
from kvmlab.scenes.lesson_failures import what_if_fails
from kvmlab.scenes.pgd import pgd_graph

HERE = Path(__file__).parent
QUESTIONS = json.loads((HERE / "questions.json").read_text(encoding="utf-8"))
FEWEST = 30
FRAME, WORD = 4096, 8
MIB, GIB = 1 << 20, 1 << 30
GIC = {"ipa": 0x2C00_2000, "pa": 0x2C00_6000, "size": 0x2000}


def stores(*ipas, **config):
    """Return a session whose guest has stored to these addresses."""
    run = one_guest(**config)
    for ipa in ipas:
        run.do("access", vm=0, ipa=ipa, access="write", value=1)
    return run


def rolled_over(allocator, guests=16):
    """Return a machine of two CPUs with 4-bit VMIDs on which so many guests have entered."""
    machine = Machine(Config(ncpus=2, vmid_bits=4, allocator=allocator))
    for guest in range(guests):
        machine.enter(machine.create_vm(), cpu=guest % 2)
    return machine


def said(machine, name):
    return [event.args for event in machine.stream if event.name == name]


def root():
    size = len(one_guest().machine.image(0).frames) * FRAME
    return [f"{size // 1024} KiB", f"{size // WORD:,} entries", f"{(size // WORD).bit_length() - 1} bits"]


def tray():
    machine = stores(RAM.ipa).machine
    got = sum(event.name == "page/allocated" for event in machine.stream) - 1  # the root is older than the fault
    left = machine.kvm(0).vcpus[0].mmu_page_cache.nobjs
    return [f"{got} are allocated", f"{got - left} of them become tables", f"{left} stay"]


def late():
    machine = Machine(Config(retry="sampled late"))
    machine.create_vm([RAM])
    machine.swap_in(0, RAM.hva)
    store = {"ipa": RAM.ipa, "access": "write", "value": 7}
    end = machine.race(0, store, "discard", {"hva": RAM.hva}, at="before the sample")
    mapped = walk(machine.linux.memory, machine.kvm(0).vttbr, RAM.ipa)
    assert not mapped.fault
    assert not machine.host(0).frames.get(mapped.pa >> 12, REFS)
    return ["One fault" if end.guest.faults == 1 else "?"]


def xn():
    run = one_guest()
    run.do("ioremap", vm=0, **GIC)
    run.do("access", vm=0, ipa=GIC["ipa"], access="read")
    field = next(field for field in decode(leaf_of(run.machine, 0, GIC["ipa"]), 3).fields if field.name == "XN")
    assert field.value == 1
    return [f"{field.name}, bit {field.low}"]


def turn():
    flushes = measure.run(cycle(range(300)), 10_000).flushes
    assert {after - before for before, after in pairwise(flushes)} == {255}
    return [f"{len(flushes)}."]


def first():
    machine = Machine(Config(ncpus=2))
    assert machine.linux.kvm_next_vmid == 0
    machine.enter(machine.create_vm())
    (rolled,) = said(machine, "vmid/rolled_over")
    return [f"generation {rolled['generation']} begins"]


def frames():
    number = len(stores(RAM.ipa, RAM.ipa + FRAME, RAM.ipa + 2 * MIB).machine.image(0).frames)
    return [{5: "Five frames"}[number]]


def page_counts():
    run = stores(RAM.ipa, RAM.ipa + FRAME, RAM.ipa + 2 * MIB)
    run.do("access", vm=0, ipa=RAM.ipa + 2 * FRAME, access="read")
    level1, level2, level3, _ = pgd_graph(run.machine).tables
    return [f"{level1.refs[0]} at level 1", f"{level2.refs[0]} at level 2", f"{level3.refs[0]} at level 3"]


def ladder():
    run = stores(RAM.ipa, RAM.ipa + FRAME, RAM.ipa + 2 * MIB)
    live = [run.machine.linux.pages.nr_live]
    for offset in (FRAME, 0, 2 * MIB):
        run.do("swap_out", vm=0, hva=RAM.hva + offset)
        live.append(run.machine.linux.pages.nr_live)
    return [", ".join(str(before - after) for before, after in pairwise(live)) + "."]


def leak():
    run = stores(*(RAM.ipa + region * 2 * MIB + page * FRAME for region in (0, 1) for page in range(3)))
    run.do("destroy_vm", vm=0)
    return [f"= {run.machine.linux.pages.nr_live}"]


def refill():
    machine = Machine()
    guest = machine.create_vm([RAM._replace(size=GIB)])
    left = [0]
    for region in range(80):
        machine.access(guest, RAM.ipa + region * 2 * MIB, "write")
        left.append(machine.kvm(guest).vcpus[0].mmu_page_cache.nobjs)
    again = [n for n in range(2, 81) if left[n] > left[n - 1]]
    return [f"the {again[0]}th", f"at the {again[1]}th"]


def fail():
    (last,) = what_if_fails([40], "access", ipa=RAM.ipa, access="write").rows
    assert (last.ret, last.mapped) == (-12, 0)
    return [f"with {last.cached} frames in hand"]


def three():
    run = stores(RAM.ipa)
    run.do("ioremap", vm=0, **GIC)
    asked = [
        (GIC["ipa"], "read"),
        (GIC["ipa"], "fetch"),
        (RAM.ipa + 5 * FRAME, "read"),
        (3 * GIB, "read"),
        (3 * GIB, "fetch"),
    ]
    ends = [run.machine.access(0, ipa, access) for ipa, access in asked]
    assert [end.faults for end in ends] == [0, 1, 1, 1, 1]
    words = [f"{end.status}, no fault." if not end.faults else end.status for end in ends]
    assert words[1] == words[4] == "aborted"
    return words


def over():
    run = one_guest()
    run.do("access", vm=0, ipa=RAM.ipa + 3 * FRAME, access="write", value=42)
    ret = run.do("ioremap", vm=0, ipa=RAM.ipa + FRAME, pa=0x1C00_0000, size=4 * FRAME)
    (done,) = said(run.machine, "ioremap/done")
    return [f"{ret} is", f"{ {2: 'two'}[done['mapped']] } pages are mapped"]


def end_at_4_gib():
    run = one_guest()
    ret = run.do("ioremap", vm=0, ipa=4 * GIB - FRAME, pa=0x1C00_0000, size=FRAME)
    (done,) = said(run.machine, "ioremap/done")
    assert done["mapped"] == 0
    return [f"returns {ret} and maps nothing"]


def new():
    return [{0: "None."}[sum(event.name == "tables/mapped" for event in one_guest().machine.stream)]]


def labels():
    assert len(LABELS) == 6
    return list(LABELS)


def make():
    orders = {}
    for fixes in ((), ("break before make",)):
        run = one_guest(fixes=frozenset(fixes))
        run.do("access", vm=0, ipa=RAM.ipa, access="read")
        before = len(run.machine.stream)
        run.do("access", vm=0, ipa=RAM.ipa, access="write")
        names = [event.name for event in run.machine.stream.since(before)]
        orders[fixes] = names.index("tables/mapped") < names.index("tlb/flushed")
    assert orders == {(): True, ("break before make",): False}
    return []


def losers():
    machine = rolled_over("3.9")
    kept = [vm for vm in range(16) if machine.kvm(vm).vmid_gen == machine.linux.kvm_vmid_gen]
    assert kept == [15]  # only the newcomer has a number
    return ["The answer is D"]


def later():
    assert not said(rolled_over("5.18"), "vmid/kicked")
    return ["5.18 kicks nobody" if any(kick["cpus"] for kick in said(rolled_over("3.9"), "vmid/kicked")) else "?"]


def schedules():
    counted = count(FaultAgainstHost())
    assert counted.bad == 0
    return [f"None of {counted.schedules}"]


def bad():
    halves, none = (
        [count(FaultAgainstHost(test)).bad for test in ("seq only", "count only")],
        count(FaultAgainstHost("none")).bad,
    )
    assert {"seq only", "count only", "none"} <= set(RETRY_CHECKS)
    return [f"{halves[0]} + {halves[1]} = {none}"]


def twice():
    machine = one_guest().machine
    faults = [machine.access(0, RAM.ipa, access).faults for access in ("read", "write")]
    return [{2: "Two."}[sum(faults)]]


def nested():
    return [f"{len(walk_reads(3, 3))}:"]


def pins():
    machine = stores(RAM.ipa).machine
    frame = machine.host(0).pte(RAM.hva) >> 12
    assert machine.host(0).frames.get(frame, REFS) == 1  # the host's own
    return ["A."]


NUMBERS = {
    "root": root, "tray": tray, "late": late, "xn": xn, "turn": turn, "first": first, "frames": frames,
    "count": page_counts, "ladder": ladder, "leak": leak, "refill": refill, "fail": fail, "three": three, "over": over,
    "end": end_at_4_gib, "new": new, "labels": labels, "make": make, "losers": losers, "later": later,
    "schedules": schedules, "bad": bad, "twice": twice, "nested": nested, "pins": pins,
}  # fmt: skip


def answer(notebook, name):
    """Return the text of a cell without marks and links, and of a code cell what it shows."""
    path = HERE.parent / "notebooks" / f"{notebook}.ipynb"
    cell = next(cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["id"] == name)
    text = "".join(cell["source"])
    if cell["cell_type"] == "code":
        *before, last = ast.parse(text).body
        assert isinstance(last, ast.Expr)
        place = {}
        exec(compile(ast.Module(before, []), name, "exec"), place)  # noqa: S102  a cell of our own
        return str(eval(compile(ast.Expression(last.value), name, "eval"), place))  # noqa: S307
    return plain(text)


def plain(text):
    return re.sub(r"[*`]|\]\([^)]*\)|\[(?=[^]]*\])", "", text)


def test_marks_and_links_are_no_words():
    assert plain("**[`XN`](glossary.ipynb#XN)**, *bit* 54") == "XN, bit 54"


def test_there_are_questions_enough():
    asked = [question["ask"] for question in QUESTIONS]
    assert len(set(asked)) == len(asked) >= FEWEST
    assert {question["notebook"][:2] for question in QUESTIONS} >= {
        "00",
        "01",
        "02",
        "03",
        "04",
        "05",
        "06",
        "07",
        "09",
    }
    assert set(NUMBERS) == {question["number"] for question in QUESTIONS if "number" in question}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: f"{question['notebook'][:2]} {question['cell']}")
def test_a_question_has_the_cell_that_answers_it(question):
    text = answer(question["notebook"], question["cell"])
    wanted = [word for word in question["words"] if word != "LABELS"]
    wanted += NUMBERS[question["number"]]() if "number" in question else []
    assert wanted
    assert [words for words in wanted if words not in text] == [], question["ask"]
