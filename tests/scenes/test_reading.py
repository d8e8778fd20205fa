"""The kernel's functions beside the model's: the table is right, whole, and made from what the code says of itself."""

import ast
import re
from pathlib import Path

import pytest

from kvmlab.engine import InputError, Machine
from kvmlab.engine.kernel import abort, tables
from kvmlab.engine.kernel.fixes import FIXES
from kvmlab.scenes.calls import OUTSIDE, calls_table, watch
from kvmlab.scenes.reading import ROOT, SAME, counterpart, counterparts, later_table, left_out, link, reading_table
from kvmlab.scenes.sources import source_of
from kvmlab.scenes.table import Table

# The functions of the 2013 commits that notebook 09 promises, by hand.
OF_2013 = {
    "arch/arm/kvm/mmu.c": (
        "kvm_alloc_stage2_pgd kvm_free_stage2_pgd unmap_stage2_range stage2_set_pte kvm_phys_addr_ioremap "
        "mmu_topup_memory_cache mmu_memory_cache_alloc mmu_free_memory_cache user_mem_abort kvm_handle_guest_abort "
        "handle_hva_to_gpa kvm_unmap_hva kvm_unmap_hva_range kvm_set_spte_hva kvm_tlb_flush_vmid "
        "kvm_mmu_free_memory_caches clear_pud_entry clear_pmd_entry clear_pte_entry"
    ),
    "arch/arm/kvm/arm.c": (
        "update_vttbr need_new_vmid_gen force_vm_exit kvm_arch_init_vm kvm_arch_destroy_vm kvm_arch_vcpu_ioctl_run"
    ),
    "arch/arm/kvm/mmio.c": "io_mem_abort",
}


def defined(path, line):
    """Return the name of the function that begins in a line of a file."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.lineno == line:
            return node.name
    return None


@pytest.mark.parametrize(("file", "names"), OF_2013.items())
def test_each_function_of_the_commits_is_there(file, names):
    assert set(names.split()) <= {one.function for one in counterparts() if one.file == file}


def test_each_line_is_where_the_function_begins():
    wrong = [one for one in counterparts() if defined(one.module, one.line) != one.name]
    assert counterparts()
    assert wrong == []


def test_every_function_says_what_differs_in_its_own_words():
    silent = [one for one in counterparts() if not one.differs or "``" in one.differs or "\n" in one.differs]
    assert silent == []
    assert counterpart("user_mem_abort").differs in " ".join(abort.user_mem_abort.__doc__.replace("``", "").split())


def test_what_differs_in_a_whole_module_is_said_at_each_of_its_functions():
    assert "data cache maintenance is left out" in " ".join(tables.__doc__.split())
    assert "data cache maintenance is left out" in counterpart("stage2_set_pte").differs
    assert counterpart("mmu_topup_memory_cache").differs == SAME


def test_a_function_is_not_said_to_stand_in_two_files():
    files = {}
    for one in counterparts():
        files.setdefault(one.function, set()).add(one.file)
        assert source_of(one.function) in (None, one.file), one
    assert {name: found for name, found in files.items() if len(found) > 1} == {}


def test_commits_are_those_of_the_series():
    assert counterpart("stage2_set_pte").commits == ("d5d8184d35c9",)
    assert counterpart("user_mem_abort").commits == ("94f8e6418d39",)
    assert counterpart("update_vttbr").commits == ("f7ed45be3ba5",)


def test_what_is_left_out_has_no_counterpart():
    assert "kvm_vgic_init" in left_out()
    for name in left_out():
        with pytest.raises(InputError, match=f"'{name}'.*does without it"):
            counterpart(name)


def test_an_unknown_function_is_refused_by_name():
    with pytest.raises(InputError, match=r"'schedule'.*counterparts"):
        counterpart("schedule")


def test_a_file_chooses_its_rows():
    table = reading_table("arch/arm/kvm/mmu.c")
    assert {row[1] for row in table.rows} == {link("arch/arm/kvm/mmu.c")}
    assert len(table.rows) < len(reading_table().rows) == len(counterparts())
    with pytest.raises(InputError, match=r"'mm/slub.c'.*mm/ksm.c"):
        reading_table("mm/slub.c")


def test_links_name_the_release():
    assert link("mm/ksm.c") == ("mm/ksm.c", "https://elixir.bootlin.com/linux/v3.9/source/mm/ksm.c")
    later = [one.file for one in counterparts() if "://" in one.file]
    assert later
    assert all("/v5.18/source/arch/arm64/kvm/vmid.c" in file for file in later)


def test_later_changes_are_all_there():
    assert [row[0] for row in later_table().rows] == list(FIXES)


def test_no_kernel_code_is_shown():
    text = str(reading_table()) + str(later_table())
    assert not re.search(r"[;{}]\s*$|->|\bstruct \w+ \*", text, re.MULTILINE)


class TestCalls:
    @pytest.fixture
    def machine(self):
        machine = Machine()
        machine.create_vm([(0x8000_0000, 1 << 24, 0x4000_0000)])
        return machine

    def test_the_run_is_the_same_as_without_watching(self, machine):
        other = Machine()
        other.create_vm([(0x8000_0000, 1 << 24, 0x4000_0000)])
        other.access(0, 0x8000_0000, "write", value=1)
        called = watch(machine, "access", vm=0, ipa=0x8000_0000, access="write", value=1)
        assert list(machine.stream) == list(other.stream)
        for one in called:
            assert machine.stream[one.seq].name == one.event
            assert machine.stream[one.seq].args == one.args

    def test_afterwards_nobody_watches(self, machine):
        called = watch(machine, "access", vm=0, ipa=0x8000_0000)
        seen = len(called)
        machine.access(0, 0x8000_1000)
        assert len(called) == seen

    def test_each_event_is_made_in_the_line_that_is_named(self, machine):
        for one in watch(machine, "access", vm=0, ipa=0x8000_0000, access="write"):
            path, line = one.place.split(":")
            lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
            assert "mark" in "".join(lines[max(0, int(line) - 2) : int(line)]), one

    def test_the_fault_is_told_in_the_kernels_order(self, machine):
        called = watch(machine, "access", vm=0, ipa=0x8000_0000, access="write")
        inside = [one.event for one in called if "user_mem_abort" in one.path and "/" in one.event]
        order = ["cache/topped_up", "notifier/sampled", "page/looked_up", "lock/taken", "notifier/passed",
                 "tables/set", "tables/linked", "tables/mapped", "lock/released"]  # fmt: skip
        assert [name for name in dict.fromkeys(inside) if name in order] == order

    def test_a_notifier_is_called_from_the_host(self, machine):
        watch(machine, "access", vm=0, ipa=0x8000_0000)
        called = watch(machine, "swap_out", vm=0, hva=0x4000_0000)
        cleared = next(one for one in called if one.event == "tables/cleared")
        assert cleared.path[:3] == ("try_to_unmap_one", "kvm_mmu_notifier_invalidate_page", "kvm_unmap_hva")
        assert cleared.path[-1] == "clear_pte_entry"

    def test_equal_events_are_counted(self, machine):
        called = watch(machine, "access", vm=0, ipa=0x8000_0000)
        taken = sum(one.event == "page/allocated" for one in called)
        rows = calls_table(called, "mmu_topup_memory_cache").rows
        assert rows[0][0] == f"page/allocated × {taken}"
        assert len(rows) == 2

    def test_the_hardware_is_not_in_the_kernel(self, machine):
        rows = calls_table(watch(machine, "access", vm=0, ipa=0x8000_0000)).rows
        assert {row[1] for row in rows if str(row[0]).startswith("walk/")} == {OUTSIDE}

    def test_a_function_in_which_nothing_happened_is_refused(self, machine):
        with pytest.raises(InputError, match=r"'kvm_unmap_hva'.*user_mem_abort"):
            calls_table(watch(machine, "access", vm=0, ipa=0x8000_0000), "kvm_unmap_hva")

    def test_a_command_that_is_refused_leaves_the_machine_as_it_was(self, machine):
        before = len(machine.stream)
        with pytest.raises(InputError, match="ipa"):
            watch(machine, "access", vm=0, ipa=-4)
        assert len(machine.stream) == before
        assert "mark" not in vars(machine.stream)


def test_a_table_escapes_what_it_shows():
    html = Table(("<a>",), (("<b>", ("<c>", 'x"y')),))._repr_html_()
    assert re.findall(r"<[abc]>", html) == []
    assert 'href="x&quot;y"' in html


def test_the_folder_is_the_one_that_holds_the_package():
    assert Path(ROOT, "kvmlab", "engine").is_dir()
