"""Random commands on the engine against a plain dict model, with the invariants tested after each."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kvmlab.engine import Config, Machine, Slot
from kvmlab.engine.hardware.descriptor import ADDRESS_MASK, kind_of
from kvmlab.engine.host.frames import PINS, REFS
from kvmlab.engine.host.mm import PRESENT, SWAPPED

BASE, HVA, PAGES = 0x3FFF_E000, 0x5000_0000, 5  # around the 1 GiB boundary, so that several tables are in play
DEVICE = 0x2C00_2000

vms = st.integers(0, 1)
pages = st.integers(0, PAGES - 1)
words = st.integers(0, 3)


class Engine(RuleBasedStateMachine):
    """Two guests, one host. The model knows contents only: what a load must give."""

    @initialize(reuse=st.booleans(), ways=st.sampled_from([1, 2]))
    def boot(self, reuse: bool, ways: int) -> None:
        config = Config(reuse_frames=reuse, tlb_sets=2, tlb_ways=ways, vmid_bits=2)
        self.machine = Machine(config)
        self.model: dict[tuple[int, int], int] = {}
        for _ in range(2):
            self.machine.create_vm([Slot(BASE, PAGES << 12, HVA)], vcpus=2)
        self.idle = [self.machine.create_vm() for _ in range(3)]  # they only use up VMIDs

    @rule(vm=vms, page=pages, vcpu=st.integers(0, 1), asid=st.integers(0, 1))
    def load(self, vm: int, page: int, vcpu: int, asid: int) -> None:
        result = self.machine.access(vm, BASE + (page << 12), vcpu=vcpu, asid=asid)
        assert (result.status, result.value) == ("done", self.model.get((vm, page), 0))

    @rule(vm=vms, page=pages, value=words, vcpu=st.integers(0, 1))
    def store(self, vm: int, page: int, value: int, vcpu: int) -> None:
        assert self.machine.access(vm, BASE + (page << 12), "write", value=value, vcpu=vcpu).status == "done"
        self.model[vm, page] = value

    @rule(vm=vms, page=pages, value=words)
    def host_store(self, vm: int, page: int, value: int) -> None:
        self.machine.host_write(vm, HVA + (page << 12), value)
        self.model[vm, page] = value

    @rule(vm=vms, page=pages)
    def swap_out(self, vm: int, page: int) -> None:
        if self.machine.host(vm).pte(HVA + (page << 12)) & PRESENT:
            self.machine.swap_out(vm, HVA + (page << 12))

    @rule(vm=vms, page=pages)
    def swap_in(self, vm: int, page: int) -> None:
        self.machine.swap_in(vm, HVA + (page << 12))

    @rule(vm=vms, page=pages, count=st.integers(1, 3))
    def discard(self, vm: int, page: int, count: int) -> None:
        count = min(count, PAGES - page)
        self.machine.discard(vm, HVA + (page << 12), count << 12)
        for gone in range(page, page + count):
            self.model.pop((vm, gone), None)

    @rule(first=vms, page=pages, second=vms, other=pages)
    def merge(self, first: int, page: int, second: int, other: int) -> None:
        hosts = [(first, HVA + (page << 12)), (second, HVA + (other << 12))]
        present = all(self.machine.host(vm).pte(hva) & PRESENT for vm, hva in hosts)
        merged = any(self.machine.host(vm).pte(hva) >> 4 & 1 for vm, hva in hosts)
        equal = self.model.get((first, page), 0) == self.model.get((second, other), 0)
        if present and equal and not merged and hosts[0] != hosts[1]:
            assert self.machine.ksm_merge(*hosts[0], *hosts[1])

    @rule(vm=vms, count=st.integers(0, 3))
    def map_device(self, vm: int, count: int) -> None:
        assert self.machine.ioremap(vm, DEVICE, DEVICE, count << 12) in (0, -14)

    @rule(number=st.integers(0, 2), cpu=st.integers(0, 1))
    def enter(self, number: int, cpu: int) -> None:
        self.machine.enter(self.idle[number], cpu=cpu)

    @rule(cpu=st.integers(0, 1), page=pages)
    def host_runs(self, cpu: int, page: int) -> None:
        self.machine.host_touch(cpu, HVA + (page << 12))

    @rule(step=st.integers(0, 10_000))
    def undo_then_redo_is_the_identity(self, step: int) -> None:
        machine, stream = self.machine, self.machine.stream
        before = bytes(machine.linux.memory.buffer), tuple(machine.linux.pages._pages), tuple(stream.variables)
        machine.seek(step % len(stream))
        machine.seek(len(stream))
        assert before == (
            bytes(machine.linux.memory.buffer),
            tuple(machine.linux.pages._pages),
            tuple(stream.variables),
        )

    @invariant()
    def page_counts_add_up(self) -> None:
        """A table frame has 1 plus its live entries; the level-1 table counts all its entries in its first frame."""
        linux = self.machine.linux
        live = 0
        for kvm in linux.vm_list.values():
            entries = [word for word in linux.memory.table(kvm.pgd, 1024) if word]
            assert linux.pages.page_count(kvm.pgd) == 1 + len(entries)
            assert linux.pages.page_count(kvm.pgd + 4096) == 0
            tables = [(1, word) for word in entries]
            live += 2 + sum(vcpu.mmu_page_cache.nobjs for vcpu in kvm.vcpus)
            while tables:
                level, word = tables.pop()
                assert kind_of(word, level) == "table"
                table = word & ADDRESS_MASK
                assert linux.pages.is_live(table), "a live table is on the free list"
                below = [entry for entry in linux.memory.table(table) if entry]
                assert linux.pages.page_count(table) == 1 + len(below)
                live += 1
                tables += [(2, entry) for entry in below] if level == 1 else []
        assert live == linux.pages.nr_live

    @invariant()
    def the_tlb_holds_nothing_that_a_flush_should_have_removed(self) -> None:
        """Every entry of a VM's present VMID agrees with its tables; no other VMID of this generation is there."""
        linux = self.machine.linux
        current = {kvm.vmid: kvm for kvm in linux.vm_list.values() if kvm.vmid_gen == linux.kvm_vmid_gen}
        for cpu in self.machine.cpus:
            for entry in cpu.tlb.entries():
                if entry.vmid == 0:
                    continue
                kvm = current[entry.vmid]
                word = kvm.pgd
                for shift in (30, 21, 12):
                    index = entry.page << 12 >> shift & (1023 if shift == 30 else 511)
                    word = linux.memory.read((word & ADDRESS_MASK) + 8 * index)
                    assert word, f"page {entry.page:#x} of VMID {entry.vmid} is in a TLB and not in the tables"
                assert word == entry.descriptor

    @invariant()
    def frames_of_the_host_are_counted(self) -> None:
        machine = self.machine
        users: dict[int, int] = {}
        for number in (0, 1):
            for page in range(PAGES):
                pte = machine.host(number).pte(HVA + (page << 12))
                assert not (pte & PRESENT and pte & SWAPPED)
                if pte & PRESENT:
                    users[pte >> 12] = users.get(pte >> 12, 0) + 1
        for pfn in machine.frames._pages:
            if pfn < 1 << 36:
                assert machine.frames.get(pfn, REFS) == users.get(pfn, 0)
                assert machine.frames.get(pfn, PINS) == 0

    @invariant()
    def no_lock_is_held_and_no_range_is_open(self) -> None:
        for kvm in self.machine.linux.vm_list.values():
            assert not kvm.mmu_lock.held
            assert kvm.mmu_notifier_count == 0
        assert not self.machine.linux.kvm_vmid_lock.held


TestEngine = Engine.TestCase
TestEngine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
