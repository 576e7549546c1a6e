from abc import ABC, abstractmethod
from enum import Enum


class Fuel(Enum):
    NONE = 0
    DIESEL = 3
    POWER = 1


class Vehicle(ABC):
    """Anything that moves goods."""

    kinds = {}
    capacity = 1
    fuel = Fuel.NONE

    def __init_subclass__(cls, **named):
        super().__init_subclass__(**named)
        Vehicle.kinds[cls.__name__] = cls

    def __init__(self, name):
        self.name = name
        self._distance = 0

    @property
    def distance(self):
        return self._distance

    @distance.setter
    def distance(self, value):
        if value < self._distance:
            raise ValueError("a vehicle never drives back")
        self._distance = value

    @abstractmethod
    def speed(self, load):
        """Kilometres an hour with a load."""

    def cost(self, route):
        return route.length * self.fuel.value / 100 + route.toll

    def emergency_stop(self):
        print(self.name, "stops")

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r})"
