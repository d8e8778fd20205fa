"""What Linux 3.9 does, by the kernel's own names: ``arch/arm/kvm`` and the little of ``virt/kvm`` that it stands on."""
