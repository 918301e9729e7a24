"""Removing channels: which ones, norms put right afterwards, fine-tuning, and controls that keep a report honest."""
