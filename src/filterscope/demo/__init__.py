"""The bundled demonstration: drawn creatures, the small network trained on them, and its training."""
