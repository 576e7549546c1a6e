"""The stages in their order."""

import sys
from pathlib import Path

from . import aggregates, reporting
from .cleaning import clean
from .parsing import parse_log
from .routes import RouteTable, read_agents
from .sessions import find_sessions, funnel, transitions
from .settings import BadSettings, Settings
from .similarity import clusters
from .source import make
from .tools import STAGES


def collect(settings):
    """The log, written as the servers would and read back."""
    routes = RouteTable.read(settings.directory / "routes.csv")
    agents = read_agents(settings.directory / "agents.txt")
    raw = Path(settings.out) / "access.log"
    raw.parent.mkdir(exist_ok=True)
    with open(raw, "w", encoding="ascii") as file:
        file.writelines(make(settings, routes, agents))
    return routes, parse_log(raw)


def publish(settings, requests, sessions):
    report = reporting.Report(settings.out)
    reporting.overview(report, requests, sessions)
    rows = aggregates.by_hour(requests, settings.smoothing)
    reporting.hours(report, rows, aggregates.Anomalies().find(rows))
    pages = aggregates.by_page(requests, settings.percentiles)
    reporting.pages(report, pages, settings.percentiles, settings.top)
    with report.section("Searches") as say:
        for word, count in aggregates.by_search(requests)[: settings.top]:
            say(f"{word:<12} {count}")
    with report.section("Funnel") as say:
        for step, count in funnel(sessions):
            say(f"{step:<12} {count:>6} {count / len(sessions):.1%}")
    ranked = aggregates.rank_pages(transitions(sessions))
    with report.section("Weights") as say:
        for page, weight in ranked[: settings.top]:
            say(f"{page:<28} {weight:.5f}")
    with report.section("Visitors") as say:
        for size, paths in clusters(sessions):
            say(f"{size:>6}: {', '.join(paths)}")
    report.summary["stages"] = dict(STAGES)
    return report.finish()


def run(settings):
    routes, requests = collect(settings)
    requests = clean(requests, routes)
    sessions = find_sessions(requests, settings.session_gap)
    longest = max(sessions, key=len)
    print("longest session", longest.host, len(longest), "requests", longest.seconds, "s")
    lines = publish(settings, requests, sessions)
    print("report of", lines, "lines in", settings.out)
    return 0


def main(arguments):
    try:
        settings = Settings.load(arguments[0])
    except (BadSettings, OSError) as error:
        print("traffic:", error, file=sys.stderr)
        return 2
    return run(settings)
