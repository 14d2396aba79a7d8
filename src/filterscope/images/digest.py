"""The identity of images by their content: equal digests, equal images."""

from collections.abc import Iterable
from hashlib import sha256


def digest_of(parts: Iterable[bytes]) -> str:
    """Hash ``parts`` one after the other, as 64 hexadecimal digits; where one ends and the next begins counts.

    Example:
        >>> digest_of([b"ab", b"c"]) == digest_of([b"a", b"bc"])
        False
    """
    hashed = sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)
    return hashed.hexdigest()
