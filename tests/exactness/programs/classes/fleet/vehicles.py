from .base import Fuel, Vehicle


class Bicycle(Vehicle):
    capacity = 2

    def speed(self, load):
        return 18 - load * 2

    def cost(self, route):
        return 0.5


class Van(Vehicle):
    capacity = 20
    fuel = Fuel.POWER

    def __init__(self, name, range_left=300):
        super().__init__(name)
        self.range_left = range_left

    def speed(self, load):
        return 70 - load // 4

    def cost(self, route):
        extra = 10 if route.length > self.range_left else 0
        return super().cost(route) + extra


class Truck(Van):
    capacity = 80
    fuel = Fuel.DIESEL

    @classmethod
    def large(cls, name):
        return cls(name, range_left=900)

    def speed(self, load):
        return max(30, super().speed(load) - 10)

    @staticmethod
    def axles(load):
        return 2 + load // 30
