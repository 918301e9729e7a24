"""Networks of one-bit weights, and of one-bit numbers between the layers: how they train, and what they would cost."""
