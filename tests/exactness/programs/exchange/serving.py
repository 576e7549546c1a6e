import socketserver
import threading

GREETING = "hello"


class Counter:
    def __init__(self):
        self.seen = {}

    def add(self, word):
        self.seen[word] = self.seen.get(word, 0) + 1
        return self.seen[word]

    def reset(self):
        self.seen.clear()


COUNTER = Counter()


def reply(word):
    return "%s %s %d" % (GREETING, word[::-1], COUNTER.add(word))


async def answer(reader, writer):
    while line := await reader.readline():
        writer.write(reply(line.decode().strip()).encode() + b"\n")
        await writer.drain()
    writer.close()


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(measure(line.decode().strip()))


def unhandled(loop, context):
    print("unhandled", type(context.get("exception")).__name__)


def measure(word):
    return b"%d\n" % sum(ord(letter) * i for i, letter in enumerate(word, 1))


def start():
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
