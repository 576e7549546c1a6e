import asyncio
import socket

import serving


def words():
    with open("words.txt", encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip()]


def churn(count, seed):
    for i in range(count):
        seed = (seed * 69069 + i) % 4294967296
    return seed % 1000


async def quiet(reader):
    await reader.read()


async def talk(port, said):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = []
    for number, word in enumerate(said):
        writer.write(word.encode() + b"\n")
        heard.append((await reader.readline()).decode().strip())
        heard.append(first(number))
        heard.append(second(number))
    writer.close()
    return heard


def first(number):
    return churn(120000, number)


def second(number):
    return churn(90000, number + 1)


def asked(connection, said):
    out = []
    with connection.makefile("rwb") as stream:
        for word in said:
            stream.write(word.encode() + b"\n")
            stream.flush()
            out.append(int(stream.readline()))
            out.append(between(len(out)))
    return out


def between(number):
    return churn(100000, number) % 7


async def both(said):
    over = asyncio.Event()
    # asyncio itself shows the end of the directory's path, which is not the same on both sides.
    asyncio.get_running_loop().set_exception_handler(serving.unhandled)

    async def answering(reader, writer):
        await serving.answer(reader, writer)
        over.set()

    server = await asyncio.start_server(answering, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    heard = await talk(port, said)
    await over.wait()
    print("heard", heard)
    server.close()
    return len(heard)


def after(count):
    return churn(400000, count)


def main():
    said = words()
    print("before", churn(300000, 5))
    server = serving.start()
    connection = socket.create_connection(server.server_address)
    print("asked", asked(connection, said))
    print("talked", asyncio.run(both(said)))
    print("after", after(len(said)), serving.COUNTER.seen)
    connection.close()
    server.shutdown()
    server.server_close()
    print("done", churn(200000, 9))


if __name__ == "__main__":
    main()
