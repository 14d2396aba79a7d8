"""The inks of functions on sheets: told apart by people with any of the common colour blindnesses."""

INKS = {
    "colour": (204, 100, 160),
    "edge": (0, 100, 170),
    "texture": (225, 145, 0),
    "spot": (0, 145, 105),
    "smoothing": (110, 185, 232),
    "identity": (226, 210, 50),
    "unstructured": (205, 205, 202),
}
"""Of what a kernel does; after Okabe and Ito."""

DARKER = {**INKS, "unstructured": (160, 160, 158)}
"""The same where the ink stands alone on paper: in thin petals and small squares, and not in a bar beside others."""
