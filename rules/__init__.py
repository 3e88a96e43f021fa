"""What follows from the facts: pure functions over data that carries its validity and its statute. No clock, no I/O."""
