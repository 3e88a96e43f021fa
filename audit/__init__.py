"""What was seen: an entry per operation and person, on disk before any of the data leaves. No values, ever."""
