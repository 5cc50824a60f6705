"""From what engines tell to rows: full lists, events, contents, and who holds which layers."""
