"""Call-heavy: some seconds of small functions and methods, no long loops in C."""


class Board:
    def __init__(self, size):
        self.size = size
        self.columns = set()
        self.rising = set()
        self.falling = set()

    def free(self, row, column):
        return (
            column not in self.columns
            and row + column not in self.rising
            and row - column not in self.falling
        )

    def place(self, row, column):
        self.columns.add(column)
        self.rising.add(row + column)
        self.falling.add(row - column)

    def lift(self, row, column):
        self.columns.remove(column)
        self.rising.remove(row + column)
        self.falling.remove(row - column)


def queens(board, row):
    if row == board.size:
        return 1
    found = 0
    for column in range(board.size):
        if board.free(row, column):
            board.place(row, column)
            found += queens(board, row + 1)
            board.lift(row, column)
    return found


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def collatz(n):
    steps = 0
    while n != 1:
        n = halve(n) if even(n) else triple(n)
        steps += 1
    return steps


def even(n):
    return n % 2 == 0


def halve(n):
    return n // 2


def triple(n):
    return 3 * n + 1


def main():
    for size in (8, 9, 10, 11):
        print("queens", size, queens(Board(size), 0))
    print("fibonacci", fibonacci(32))
    print("collatz", max(collatz(n) for n in range(1, 90_000)))


if __name__ == "__main__":
    main()
