"""Whether a network is better on its training images than on others, why, and what would help."""
