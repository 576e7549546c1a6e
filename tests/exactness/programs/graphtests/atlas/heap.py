"""A queue whose priorities may fall."""


class Heap:
    def __init__(self):
        self._items = []
        self._places = {}

    def __len__(self):
        return len(self._items)

    def __contains__(self, item):
        return item in self._places

    def push(self, priority, item):
        if item in self._places:
            self.lower(priority, item)
            return
        self._items.append((priority, item))
        self._places[item] = len(self._items) - 1
        self._up(len(self._items) - 1)

    def lower(self, priority, item):
        place = self._places[item]
        if priority < self._items[place][0]:
            self._items[place] = priority, item
            self._up(place)

    def pop(self):
        if not self._items:
            raise IndexError("the heap is empty")
        first = self._items[0]
        last = self._items.pop()
        del self._places[first[1]]
        if self._items:
            self._items[0] = last
            self._places[last[1]] = 0
            self._down(0)
        return first

    def _up(self, place):
        items = self._items
        while place > 0:
            above = (place - 1) // 2
            if items[above][0] <= items[place][0]:
                break
            self._swap(place, above)
            place = above

    def _down(self, place):
        items = self._items
        while True:
            least = place
            for below in (2 * place + 1, 2 * place + 2):
                if below < len(items) and items[below][0] < items[least][0]:
                    least = below
            if least == place:
                return
            self._swap(place, least)
            place = least

    def _swap(self, one, other):
        items = self._items
        items[one], items[other] = items[other], items[one]
        self._places[items[one][1]] = one
        self._places[items[other][1]] = other
