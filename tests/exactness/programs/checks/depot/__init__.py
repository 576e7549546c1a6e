from .depot import Depot, Shortage
from .freight import cost, pounds, split

__all__ = ["Depot", "Shortage", "cost", "pounds", "split"]
