"""The manual. The tables in it are written by `docs.generate`."""
