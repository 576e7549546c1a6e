"""Web traffic, from raw access log to report."""

from .settings import Settings

__all__ = ["Settings"]
__version__ = "1.4.0"
