"""Android boot images of several header versions."""

from __future__ import annotations

from tests.formats.case import Case
from tests.formats.headers import OTHER, PAYLOAD, boot_image

TREE = {"kernel": PAYLOAD, "ramdisk": OTHER}

CASES = [
    Case("android-boot", "positive", "v0", lambda: boot_image(0), TREE),
    Case("android-boot", "positive", "v2", boot_image, TREE | {"dtb": b"DTB" * 50}),
    Case("android-boot", "positive", "v3", lambda: boot_image(3), TREE),
    Case("android-boot", "positive", "unpadded", lambda: boot_image(2)[:-1800], TREE),
    Case("android-boot", "negative", "page", lambda: boot_image()[:36] + b"\7" + boot_image()[37:]),
    Case("android-boot", "malformed", "short", lambda: boot_image()[:6000], notes=frozenset({"truncated"})),
]
