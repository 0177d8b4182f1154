"""The proof of what a catalogue leaves out; only `compare_exports` calls the code that exports."""
