import contextlib
import csv
import json
from pathlib import Path

from .tools import human


class Report:
    """A directory with a text, a few tables and a summary."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(exist_ok=True)
        self.parts = []
        self.summary = {}

    @contextlib.contextmanager
    def section(self, title):
        lines = []
        yield lines.append
        self.parts.append((title, lines))

    def table(self, name, header, rows):
        with open(self.directory / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(rows)

    def finish(self):
        text = []
        for title, lines in self.parts:
            text += [title, "-" * len(title), *lines, ""]
        (self.directory / "report.txt").write_text("\n".join(text), encoding="utf-8")
        with open(self.directory / "summary.json", "w", encoding="utf-8") as file:
            json.dump(self.summary, file, indent=1, sort_keys=True)
        return len(text)


def bar(value, largest, width=30):
    return "#" * round(width * value / largest) if largest else ""


def overview(report, requests, sessions):
    sizes = sum(request.size for request in requests)
    bounced = sum(session.bounced for session in sessions)
    with report.section("Overview") as say:
        say(f"{len(requests)} requests, {human(sizes)}")
        say(f"{len(sessions)} sessions, {bounced / len(sessions):.1%} of them one page")
    report.summary.update(requests=len(requests), sessions=len(sessions), bytes=sizes)


def pages(report, rows, percentiles, top):
    report.table("pages", ["path", "requests", "failed", *percentiles], [[*row[:3], *row[3]] for row in rows])
    with report.section("Pages") as say:
        for path, count, failed, times in rows[:top]:
            say(f"{path:<28} {count:>6} {failed:>4}  " + " ".join(f"{one:>7.1f}" for one in times))


def hours(report, rows, odd):
    report.table("hours", ["hour", "requests", "level"], rows)
    largest = max(count for _, count, _ in rows)
    with report.section("Hours") as say:
        for label, count, _ in rows[:24]:
            say(f"{label} {count:>5} {bar(count, largest)}")
        for label, count, mean in odd:
            say(f"unusual: {label} had {count}, others {mean}")


def to_html(report):
    return "".join(f"<h2>{title}</h2><pre>{chr(10).join(lines)}</pre>" for title, lines in report.parts)
