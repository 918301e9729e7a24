"""Layers replaced by chains of smaller ones: mathematics, choice of ranks, editing, and the way all methods go."""
