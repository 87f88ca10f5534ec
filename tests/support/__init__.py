"""What several test modules share: child interpreters, memory measures, sizes."""
