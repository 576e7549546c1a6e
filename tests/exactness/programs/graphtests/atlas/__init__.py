"""Graphs, and what can be asked of them."""

from .graph import Graph, NoSuchNode
from .paths import distances, route

__all__ = ["Graph", "NoSuchNode", "distances", "route"]
