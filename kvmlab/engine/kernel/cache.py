"""The memory cache: pages taken from the allocator while one may sleep, used while one may not.

Source: arch/arm/kvm/mmu.c, Linux 3.9 (d5d8184d35c9), after x86's mmu_memory_cache.
"""

from __future__ import annotations

from kvmlab.engine.errors import KernelBug
from kvmlab.engine.events import Stream
from kvmlab.engine.kernel.errno import ENOMEM
from kvmlab.engine.kernel.pages import PageAllocator
from kvmlab.engine.kernel.pgtable import KVM_NR_MEM_OBJS
from kvmlab.engine.state import Field, Struct, Words


class KvmMmuMemoryCache(Struct):
    """``struct kvm_mmu_memory_cache``: up to 40 pages, used from the top.

    Attributes:
        nobjs: how many of ``objects`` count.
        objects: physical addresses of the pages; what lies above ``nobjs`` is left over.
    """

    nobjs = Field()

    def __init__(self, stream: Stream, key: str) -> None:
        """Start empty."""
        super().__init__(stream, key)
        self.objects = Words(stream, f"{key}.objects", KVM_NR_MEM_OBJS)


def mmu_topup_memory_cache(cache: KvmMmuMemoryCache, pages: PageAllocator, minimum: int, maximum: int) -> int:
    """Fill the cache if it holds fewer than ``minimum`` pages.

    Args:
        cache: the cache.
        pages: where pages come from; may sleep, so no spinlock may be held.
        minimum: 0 to 40.
        maximum: how far to fill it, ``minimum`` to 40.

    Returns:
        0, or -ENOMEM. After a failure the pages already taken stay, even if they are enough.

    Emits:
        cache/checked if there was nothing to do, else cache/topped_up or cache/failed.

    Raises:
        KernelBug: ``maximum`` is more than the cache can hold.

    Source: mmu_topup_memory_cache, arch/arm/kvm/mmu.c, Linux 3.9. Differs: nothing.
    """
    if maximum > KVM_NR_MEM_OBJS:
        raise KernelBug("mmu_topup_memory_cache", f"max {maximum} > KVM_NR_MEM_OBJS")
    before = cache.nobjs
    if before >= minimum:
        cache.stream.mark("cache/checked", cache=cache.key, nobjs=before, min=minimum, max=maximum)
        return 0
    while cache.nobjs < maximum:
        page = pages.alloc_pages()
        if page is None:
            cache.stream.mark("cache/failed", cache=cache.key, nobjs=cache.nobjs, min=minimum, max=maximum)
            return -ENOMEM
        cache.objects[cache.nobjs] = page
        cache.nobjs += 1
    taken = cache.nobjs - before
    cache.stream.mark("cache/topped_up", cache=cache.key, taken=taken, nobjs=cache.nobjs, min=minimum, max=maximum)
    return 0


def mmu_free_memory_cache(cache: KvmMmuMemoryCache, pages: PageAllocator) -> None:
    """Give every page of the cache back, last one first.

    Source: mmu_free_memory_cache, arch/arm/kvm/mmu.c, Linux 3.9. Differs: nothing.
    """
    given_back = cache.nobjs
    while cache.nobjs:
        cache.nobjs -= 1
        pages.put_page(cache.objects[cache.nobjs])
    if given_back:
        cache.stream.mark("cache/freed", cache=cache.key, given_back=given_back)


def mmu_memory_cache_alloc(cache: KvmMmuMemoryCache | None) -> int:
    """Take the top page out of the cache.

    Returns:
        Its physical address.

    Raises:
        KernelBug: there is no cache, or it is empty.

    Source: mmu_memory_cache_alloc, arch/arm/kvm/mmu.c, Linux 3.9. Differs: nothing.
    """
    if cache is None or not cache.nobjs:
        raise KernelBug("mmu_memory_cache_alloc", "BUG_ON(!mc || !mc->nobjs)")
    cache.nobjs -= 1
    slot = cache.nobjs
    page = cache.objects[slot]
    cache.stream.mark("cache/taken", cache=cache.key, slot=slot, page=page, nobjs=slot)
    return page
