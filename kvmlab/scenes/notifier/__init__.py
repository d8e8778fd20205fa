"""The notifier scene: the host takes pages, and KVM is told."""
