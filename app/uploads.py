"""What a person uploads, kept in the home by its content. Nothing is opened here."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from app.workspace import registry


def folder() -> Path:
    """Where uploads lie; for this person alone."""
    found = registry().home.folder / "uploads"
    found.mkdir(mode=0o700, exist_ok=True)
    return found


def keep(upload: Any, suffix: str) -> Path:
    """Stores an uploaded file under its name and the start of its SHA-256 and returns the path."""
    content = upload.getbuffer()
    digest = hashlib.sha256(content).hexdigest()[:12]
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(str(upload.name)).stem)[:60].strip("._") or "upload"
    place = folder() / f"{stem}-{digest}{suffix}"
    if not place.exists():
        beside = place.with_suffix(".partial")
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)
    return place
