from .values import *
from .values import __all__ as __all__
