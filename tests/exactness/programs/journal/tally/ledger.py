import sqlite3

TABLE = "create table if not exists colours (name text primary key, seen integer)"


def record(path, names):
    """Counts each name once more; the library writes the file, not Python."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            connection.execute(TABLE)
            for name in names:
                connection.execute(
                    "insert into colours values (?, 1) on conflict (name) do update set seen = seen + 1", (name,)
                )
        return connection.execute("select name, seen from colours order by name").fetchall()
    finally:
        connection.close()
