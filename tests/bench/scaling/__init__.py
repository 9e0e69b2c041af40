"""One million keys: what they take, and what they cost."""
