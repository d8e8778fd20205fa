"""The ioremap scene: device pages in a guest."""
