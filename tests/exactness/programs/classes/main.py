import json
import os

from fleet import Bicycle, Truck, Van, Vehicle
from fleet.orders import Job, Ledger, Route

JOBS = 90
TURNS = 400


def load_routes():
    with open("routes.json", encoding="utf-8") as file:
        return [Route(**entry) for entry in json.load(file)]


def make_jobs(routes):
    jobs = []
    for number in range(JOBS):
        load = (number * 37 + 11) % 60 + 1
        jobs.append(Job(number, load, routes[number % len(routes)]))
    return jobs


def choose(vehicles, job):
    able = [vehicle for vehicle in vehicles if vehicle.capacity >= job.load]
    return min(able, key=lambda vehicle: (vehicle.cost(job.route) + job.route.hours(vehicle.speed(job.load)), vehicle.name))


def simulate(vehicles, jobs, ledger):
    for turn in range(TURNS):
        for job in sorted(jobs):
            vehicle = choose(vehicles, job)
            vehicle.distance = vehicle.distance + job.route.length
            ledger.add(job, vehicle, vehicle.cost(job.route))
        if turn % 20 == 0:
            print("turn", turn, round(ledger.total, 2), len(ledger))
    return ledger


def describe(vehicles):
    for vehicle in vehicles:
        print(vehicle, vehicle.distance, type(vehicle).__mro__[1].__name__)


def main():
    print("kinds", sorted(Vehicle.kinds))
    routes = load_routes()
    vehicles = [Bicycle("b1"), Van("v1"), Van("v2", range_left=100), Truck("t1"), Truck.large("t2")]
    jobs = make_jobs(routes)
    heaviest = min(jobs)
    print("heaviest", heaviest.number, heaviest.load, Truck.axles(heaviest.load))
    ledger = simulate(vehicles, jobs, Ledger())
    describe(vehicles)
    with open("ledger.csv", "w", encoding="utf-8") as file:
        for number, name, cost in list(ledger)[:100]:
            file.write(f"{number},{name},{cost}\n")
    print("level", os.getenv("EXACTNESS_LEVEL", "none"))
    busiest = max(vehicles, key=lambda vehicle: vehicle.distance)
    print("busiest", busiest.name)
    print(f"total {ledger.total:.2f}")


if __name__ == "__main__":
    main()
