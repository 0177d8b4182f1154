"""Face models: what one is (`base`), and the two that are built in."""
