"""Times of log lines, always in UTC."""

from datetime import datetime, timedelta, timezone

from .tools import cached

FORMAT = "%d/%b/%Y:%H:%M:%S +0000"
MONTHS = {name: index for index, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}


def stamp(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime(FORMAT)


@cached(64)
def midnight(day):
    number, month, year = day.split("/")
    return int(datetime(int(year), MONTHS[month], int(number), tzinfo=timezone.utc).timestamp())


def parse_stamp(text):
    day, hour, minute, second = text.split(" ", 1)[0].split(":")
    return midnight(day) + int(hour) * 3600 + int(minute) * 60 + int(second)


class Clock:
    def __init__(self, offset=0):
        self.offset = timedelta(hours=offset)

    def hour(self, seconds):
        return int(seconds // 3600)

    def label(self, hour):
        moment = datetime.fromtimestamp(hour * 3600, timezone.utc) + self.offset
        return moment.strftime("%a %H:00")

    def local(self, seconds):
        return datetime.fromtimestamp(seconds) + self.offset
