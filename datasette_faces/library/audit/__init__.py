"""The proof of what a catalogue leaves out. Nothing here calls what made it."""
