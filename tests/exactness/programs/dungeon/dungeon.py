#!/usr/bin/env python3
import copy
import pickle
import random

import world
from creatures import Hero, load, monster_stream
from world import Map, SIZE

SEED = 20240501
ROOMS = 14
DICE = random.Random(SEED + 1)


def story(hero):
    """A coroutine that is told what happens."""
    chapter = 1
    lines = []
    while True:
        event = yield lines[-1:]
        if event is None:
            return f"{hero.name}: {chapter} chapters, {len(lines)} lines"
        if event.startswith("!"):
            chapter += 1
        lines.append(f"[{chapter}] {event}")
        print(lines[-1])


def play(level, hero, monsters, teller):
    path = level.path(level.start, level.goal)
    teller.send(f"the way is {len(path)} steps")
    for index, place in enumerate(path):
        hero.place = place
        if index % 9 == 4:
            monster = next(monsters)
            won = hero.fight(monster, level.random)
            teller.send(f"{monster} {'beaten' if won else 'was too strong'} at {place}")
            if not won:
                teller.send("!rest")
                hero.rest()
    return len(path)


def cheat(hero):
    hero.hp = 9999


def main():
    level = Map(SIZE, random.Random(SEED))
    level.dig(ROOMS)
    print(level)
    hero = Hero("Ada", DICE.randint(20, 30))
    kinds = load("monsters.json")
    monsters = monster_stream(kinds, random.Random(7))
    teller = story(hero)
    next(teller)
    saved = pickle.dumps(level)
    steps = play(level, hero, monsters, teller)
    again = pickle.loads(saved)
    print("same", again == level, again.random.random() == level.random.random())
    twin = copy.deepcopy(hero)
    hero.rest()
    print(hero, twin, steps)
    scores = sorted(level.scores(hero.place), key=lambda pair: pair[::-1])[-5:]
    print(scores)
    with open("save.pickle", "wb") as stream:
        pickle.dump((level, hero), stream)
    try:
        teller.send(None)
    except StopIteration as stop:
        print(stop.value)
    print(DICE.random(), world.count)


if __name__ == "__main__":
    main()
