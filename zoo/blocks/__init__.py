"""Blocks used by more than one architecture. A block used once stays in its architecture's file."""
