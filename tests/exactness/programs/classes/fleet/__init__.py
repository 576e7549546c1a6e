from .vehicles import Bicycle, Truck, Van, Vehicle  # noqa: F401
