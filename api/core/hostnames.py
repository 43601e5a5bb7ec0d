"""Host names as people write them: IDNs become A-labels (IDNA 2008, without any mapping)."""

from __future__ import annotations

import idna


def to_ascii(value: str) -> str:
    """Return a name with its IDN labels as A-labels; ValueError for what IDNA refuses.

    Nothing is folded: ``BÜCHER.example`` is refused like ``WWW.example``, so that one name has one spelling. A label
    that already begins with ``xn--`` must be the A-label of a valid IDN.
    """
    if value.isascii() and "xn--" not in value:
        return value
    try:
        ascii_name = idna.encode(value).decode() if not value.isascii() else value
        for label in ascii_name.split("."):
            if label.startswith("xn--") and idna.alabel(idna.ulabel(label)).decode() != label:
                raise ValueError("must not hold a label that only looks like an IDN")
    except idna.IDNAError:
        raise ValueError("must be a lower-case host name, or an IDN that IDNA 2008 allows") from None
    return ascii_name
