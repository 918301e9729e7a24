"""Heads: what turns a backbone's features into the answer of a task."""
