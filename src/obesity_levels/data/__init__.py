"""Survey rows: reading or simulating a source, cleaning, duplicates, splits."""
