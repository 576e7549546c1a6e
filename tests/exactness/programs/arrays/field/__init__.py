from .grid import Grid
from .spectrum import peaks, smooth

__all__ = ["Grid", "peaks", "smooth"]
