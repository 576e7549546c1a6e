import heapq
from itertools import pairwise, product

SIZE = (60, 24)
WALL, FLOOR, DOOR = "#.+"
count = 0


class Room:
    __slots__ = ("x", "y", "w", "h")

    def __init__(self, x, y, w, h):
        self.x, self.y, self.w, self.h = x, y, w, h

    @property
    def centre(self):
        return self.x + self.w // 2, self.y + self.h // 2

    def overlaps(self, other):
        return (
            self.x <= other.x + other.w
            and other.x <= self.x + self.w
            and self.y <= other.y + other.h
            and other.y <= self.y + self.h
        )

    def cells(self):
        yield from product(range(self.x, self.x + self.w), range(self.y, self.y + self.h))


class Map:
    def __init__(self, size, random):
        global count
        count += 1
        self.size = size
        self.random = random
        self.rooms = []
        self.cells = {}

    def __eq__(self, other):
        return isinstance(other, Map) and self.cells == other.cells

    def __getstate__(self):
        return {"size": self.size, "random": self.random, "rooms": self.rooms, "cells": dict(sorted(self.cells.items()))}

    def __setstate__(self, state):
        self.__dict__.update(state)

    def candidates(self):
        width, height = self.size
        while True:
            w, h = self.random.randint(3, 9), self.random.randint(2, 5)
            yield Room(self.random.randrange(1, width - w - 1), self.random.randrange(1, height - h - 1), w, h)

    def dig(self, wanted, tries=200):
        for number, room in enumerate(self.candidates()):
            if len(self.rooms) == wanted or number == tries:
                break
            if any(room.overlaps(other) for other in self.rooms):
                continue
            self.rooms.append(room)
            self.cells.update(dict.fromkeys(room.cells(), FLOOR))
        for first, second in pairwise(self.rooms):
            for place in self.corridor(first.centre, second.centre):
                self.cells.setdefault(place, DOOR)

    def corridor(self, start, end):
        (x, y), (ex, ey) = start, end
        horizontal = self.random.random() < 0.5
        while (x, y) != (ex, ey):
            if horizontal and x != ex or y == ey:
                x += 1 if ex > x else -1
            else:
                y += 1 if ey > y else -1
            yield x, y

    @property
    def start(self):
        return self.rooms[0].centre

    @property
    def goal(self):
        return self.rooms[-1].centre

    def neighbours(self, place):
        x, y = place
        for dx, dy in ((1, 0), (0, 1), (-1, 0), (0, -1)):
            if (x + dx, y + dy) in self.cells:
                yield x + dx, y + dy

    def path(self, start, goal):
        heap = [(0, start)]
        came = {start: None}
        costs = {start: 0}
        while heap:
            _, place = heapq.heappop(heap)
            if place == goal:
                break
            for near in self.neighbours(place):
                cost = costs[place] + (1 if self.cells[near] == FLOOR else 2)
                if cost < costs.get(near, 1e9):
                    costs[near] = cost
                    came[near] = place
                    heapq.heappush(heap, (cost + abs(near[0] - goal[0]) + abs(near[1] - goal[1]), near))
        way = []
        while goal is not None:
            way.append(goal)
            goal = came[goal]
        return way[::-1]

    def scores(self, place):
        for target in sorted(self.cells)[::12]:
            yield target, len(self.path(place, target))

    def __str__(self):
        width, height = self.size
        return "\n".join("".join(self.cells.get((x, y), WALL) for x in range(width)) for y in range(height))
