"""What is found about a training and a validation set: the kinds, impostors first."""

TWINS = "near-duplicates"
SHIFT = "shift between the sets"
CLASS_SHARES = "other classes in validation"
UNEVEN = "uneven classes"
WRONG_IN_TRAINING = "wrong labels in training"
WRONG_IN_VALIDATION = "wrong labels in validation"
NORMS = "batch norm statistics"
TOO_SMALL = "sets too small"
GAP = "gap"
OVER_CONFIDENT = "over-confident"
OVERFITS = "overfits"
OPENS = "gap opens"
MEMORISES = "memorises"
SINGLE_IMAGE = "fires for a single image"
MORE_DATA = "more data"
SMALLER = "smaller network"
HINT = "hint"

IMPOSTORS = (TWINS, SHIFT, CLASS_SHARES, UNEVEN, WRONG_IN_TRAINING, WRONG_IN_VALIDATION, NORMS, TOO_SMALL)
"""What can pass for overfitting, or hide it."""

KINDS = (
    *IMPOSTORS,
    GAP,
    OVER_CONFIDENT,
    OVERFITS,
    OPENS,
    MEMORISES,
    SINGLE_IMAGE,
    MORE_DATA,
    SMALLER,
    HINT,
)
"""All of them, in the order in which they are told."""
