"""Fitting of models: one loop, its settings, augmentation, checkpoints."""
