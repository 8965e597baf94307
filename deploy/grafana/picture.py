#!/usr/bin/env python3
"""Draws panels of the dashboard beside this file from what a Prometheus knows, as the picture in the README.

    pip install matplotlib
    deploy/grafana/picture.py http://localhost:9090 --minutes 14 --output deploy/grafana/portcullis.png
"""

import argparse
import json
import pathlib
import re
import time
import urllib.parse
import urllib.request

import matplotlib

matplotlib.use("Agg")
import matplotlib.dates
import matplotlib.pyplot as plt
from datetime import datetime, timezone

SHOWN = [
    "Requests by status",
    "Decisions by method",
    "Refusals by reason",
    "Failed attempts used up",
    "Age of the revocation list",
    "Revocations by kind",
    "Failures by upstream",
    "Age of the issuers' keys",
    "Connections and requests under way",
]
COLOURS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#56d9e4", "#fade2a", "#8f3bb8", "#37872d"]


def seconds(value, _position=None):
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(value) >= size:
            return f"{value / size:g} {unit}"
    return "0"


UNITS = {"s": seconds, "reqps": lambda value, _: f"{value:g}/s", "percentunit": lambda value, _: f"{value:.0%}"}


def ask(server, expression, start, end, step):
    query = urllib.parse.urlencode({"query": expression, "start": start, "end": end, "step": step})
    with urllib.request.urlopen(f"{server}/api/v1/query_range?{query}") as answer:
        return json.load(answer)["data"]["result"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--window", default="1m", help="for rates")
    parser.add_argument("--end", type=float, default=None, help="seconds since 1970; now")
    parser.add_argument("--output", default="portcullis.png")
    arguments = parser.parse_args()
    dashboard = json.loads(pathlib.Path(__file__).with_name("portcullis.json").read_text())
    panels = {panel["title"]: panel for panel in dashboard["panels"]}
    end = arguments.end or time.time()
    start = end - 60 * arguments.minutes
    plt.rcParams.update({
        "figure.facecolor": "#111217", "axes.facecolor": "#181b1f", "savefig.facecolor": "#111217", "text.color": "#d8d9da",
        "axes.edgecolor": "#2c3235", "axes.labelcolor": "#9fa7b3", "xtick.color": "#9fa7b3", "ytick.color": "#9fa7b3",
        "grid.color": "#2c3235", "font.size": 8, "axes.titlesize": 9, "font.family": "DejaVu Sans",
    })
    figure, places = plt.subplots(3, 3, figsize=(15, 9))
    for place, title in zip(places.flat, SHOWN):
        panel = panels[title]
        colours = iter(COLOURS * 5)
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in (("$__rate_interval", arguments.window), ("$job", "portcullis"), ("$route", ".*")):
                expression = expression.replace(name, value)
            for series in ask(arguments.server, expression, start, end, 5):
                points = [(at, float(value)) for at, value in series["values"]]
                label = re.sub(r"\{\{(\w+)\}\}", lambda match: series["metric"].get(match[1], ""), target["legendFormat"])
                times = [datetime.fromtimestamp(at, timezone.utc) for at, _ in points]
                place.plot(times, [value for _, value in points], label=label, color=next(colours), linewidth=1.2)
        place.set_title(title, loc="left", fontweight="bold")
        place.grid(True, linewidth=0.5)
        place.set_ylim(bottom=0)
        for side in ("top", "right"):
            place.spines[side].set_visible(False)
        place.xaxis.set_major_formatter(matplotlib.dates.DateFormatter("%H:%M"))
        unit = UNITS.get(panel["fieldConfig"]["defaults"]["unit"])
        if unit:
            place.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(unit))
        place.legend(loc="upper left", bbox_to_anchor=(0, -0.08), ncols=3, frameon=False, fontsize=7, handlelength=1)
    figure.tight_layout()
    figure.savefig(arguments.output, dpi=110)


if __name__ == "__main__":
    main()
