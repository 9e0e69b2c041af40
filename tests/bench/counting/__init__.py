"""What `tests/bench/gate` is made of."""
