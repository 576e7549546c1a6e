"""Databases that SQL names, not Python."""
import contextlib
import os
import sqlite3


def attach():
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.execute("attach 'ledger.data' as ledger")
        db.execute("create table if not exists ledger.entries(amount)")
        db.execute("insert into ledger.entries values(?)", (amount(db),))
        db.commit()
        return db.execute("select count(*), sum(amount) from ledger.entries").fetchone()


def amount(db):
    return db.execute("select count(*) from ledger.entries").fetchone()[0] + 1


def snapshot():
    if os.path.exists("snapshot.data"):
        os.remove("snapshot.data")
    with contextlib.closing(sqlite3.connect("ledger.data")) as db:
        db.execute("vacuum into 'snapshot.data'")


def total():
    with contextlib.closing(sqlite3.connect("snapshot.data")) as db:
        return db.execute("select sum(amount * 2) from entries").fetchone()[0]


def dump():
    with contextlib.closing(sqlite3.connect("ledger.data")) as db:
        return list(db.iterdump())
