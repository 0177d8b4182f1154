"""Is a file sound, and what can be repaired?"""
