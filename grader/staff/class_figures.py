"""Draw the figures of the class page with Bokeh; its script adds colours for the background.

Everything that a reader can pick has `members` in its source, the numbers of its submissions, and
`what`, a text. Names are untrusted: Bokeh escapes what a tooltip takes from a source, and
`PlainText` keeps it from reading formulas in labels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, HoverTool, PlainText, TapTool
from bokeh.plotting import figure

from ..judging import Metric
from .item_analysis import ITEM, Row
from .markers import MarkerRow

# Of the palette of Okabe and Ito (2008), those that are clear on white and on black.
BLUE, RED, GREEN = "#0072B2", "#D55E00", "#009E73"
HATCHES = {
    "by the grader": {"fill_color": BLUE},
    "by hand": {"fill_color": RED, "hatch_pattern": "/"},
    "rubric item": {"fill_color": GREEN, "hatch_pattern": "."},
}
BINS = 20
SHOWN = 15  # bars of the item analysis
NAMES = 5  # in a tooltip
LONGEST = 26  # characters of a label
QUARTILES = (0.25, 0.5, 0.75)
DAY = 86400


def as_json(plot: Any, prefix: str) -> dict[str, Any]:
    """Return a plot for Bokeh's `embed_item`; its ids are the same each time."""
    ids: dict[str, str] = {}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: ids.setdefault(inner, f"{prefix}-{len(ids)}")
                if key in ("id", "root_id")
                else renamed(inner)
                for key, inner in value.items()
            }
        return [renamed(inner) for inner in value] if isinstance(value, list | tuple) else value

    return dict(renamed(json_item(plot)))


def empty(x_label: str, y_label: str, height: int = 280, **settings: Any) -> Any:
    """Return a figure without data, as wide as its place on the page."""
    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        tools="",
        toolbar_location=None,
        x_axis_label=x_label,
        y_axis_label=y_label,
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=None,
        min_border_right=16,
        **settings,
    )
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_text_font_size = plot.axis.major_label_text_font_size = "13px"
    plot.axis.minor_tick_line_color = None
    plot.grid.grid_line_alpha = 0.25
    return plot


def pickable(plot: Any, *renderers: Any) -> None:
    """Let a reader pick what these draw, and show its text."""
    for renderer in renderers:
        renderer.nonselection_glyph.fill_alpha = 0.25
        renderer.nonselection_glyph.line_alpha = 0.25
    tooltips = [("", "@what")]
    plot.add_tools(HoverTool(tooltips=tooltips, renderers=[*renderers]), TapTool())


def count(number: int, noun: str = "submission") -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def who(names: Sequence[str]) -> str:
    """Return the first names and how many more there are."""
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return ", ".join(names[:NAMES]) + more


def short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def histogram(values: pd.Series, names: pd.Series, unit: str, most: float) -> Any:
    """Draw how many submissions have values from 0 to `most`.

    `values` and `names` are those of each submission, by its number.
    """
    values = values.dropna()
    edges = np.linspace(0, max(most, 1e-9), BINS + 1)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, BINS - 1)
    members = [values.index[place == k].tolist() for k in range(BINS)]
    filled = [k for k in range(BINS) if members[k]]
    source = ColumnDataSource(
        {
            "left": edges[filled],
            "right": edges[[k + 1 for k in filled]],
            "top": [len(members[k]) for k in filled],
            "members": [members[k] for k in filled],
            "what": [
                f"{edges[k]:.4g} to {edges[k + 1]:.4g} {unit}: {count(len(members[k]))} "
                f"({who([*names[members[k]]])})"
                for k in filled
            ],
        }
    )
    plot = empty(unit, "submissions", x_range=(0, edges[-1]))
    plot.y_range.start = 0
    plot.yaxis.ticker.min_interval = 1
    bars = plot.quad(
        source=source,
        left="left",
        right="right",
        bottom=0,
        top="top",
        fill_color=BLUE,
        line_color="white",
    )
    pickable(plot, bars)
    return plot


def upright(plot: Any, x: float, dash: str = "dashed") -> None:
    plot.vspan(x=[x], line_color=RED, line_dash=dash, line_width=2)


def points_source(table: pd.DataFrame, **columns: Any) -> ColumnDataSource:
    """Return a source with a point for each row; `table` has the columns number and what."""
    members = [[number] for number in table["number"]]
    return ColumnDataSource({**columns, "members": members, "what": [*table["what"]]})


def scatter(table: pd.DataFrame, one: Metric, other: Metric) -> Any:
    """Draw a point for each submission: the points for one metric against those for another."""
    x, y = table[one.name].astype(float), table[other.name].astype(float)
    plot = empty(f"{one.name}, points", f"{other.name}, points", x_range=(0, 1.03 * one.points))
    plot.y_range.start, plot.y_range.end = 0, 1.03 * other.points
    told = table["submission"] + ": " + x.map("{:g}".format) + " and " + y.map("{:g}".format)
    source = points_source(table.assign(what=told), x=x, y=y)
    pickable(plot, plot.scatter("x", "y", source=source, color=BLUE, size=9, fill_alpha=0.5))
    return plot


def rows_of(plot: Any, labels: Sequence[str]) -> None:
    """Label the rows 0, 1, ... of a plot, from top to bottom."""
    plot.y_range.start, plot.y_range.end = len(labels) - 0.4, -0.6
    plot.yaxis.ticker = list(range(len(labels)))
    plot.yaxis.major_label_overrides = {
        row: PlainText(text=short(label)) for row, label in enumerate(labels)
    }
    plot.ygrid.grid_line_color = None


def marked_by(row: Row) -> str:
    if row.kind == ITEM:
        return "rubric item"
    return "by hand" if "by hand" in row.kind else "by the grader"


def place_legend(plot: Any, location: str) -> None:
    plot.legend.location = location
    plot.legend.background_fill_alpha = plot.legend.border_line_alpha = 0


def item_bars(rows: Sequence[Row], numbers: dict[str, int]) -> Any:
    """Draw the mean points lost in the parts and items that cost most."""
    shown = [row for row in rows if row.lost > 0][:SHOWN]
    plot = empty("points lost, mean", "", height=150 + 26 * len(shown))
    plot.x_range.start = 0
    rows_of(plot, [row.title for row in shown])
    plot.y_range.start += 2.5  # for the legend
    bars = []
    for group in dict.fromkeys(map(marked_by, shown)):
        own = [(place, row) for place, row in enumerate(shown) if marked_by(row) == group]
        source = ColumnDataSource(
            {
                "y": [place for place, _ in own],
                "lost": [row.lost for _, row in own],
                "members": [[numbers[name] for name in row.losers] for _, row in own],
                "what": [
                    f"{row.title}: {len(row.losers)} of {count(row.count)} lost points, "
                    f"{row.lost:.2f} on average"
                    for _, row in own
                ],
            }
        )
        look = HATCHES[group] | {"hatch_color": "white", "hatch_alpha": 0.6, "line_color": None}
        bar = plot.hbar("y", right="lost", height=0.7, source=source, legend_label=group, **look)
        bars.append(bar)
    pickable(plot, *bars)
    place_legend(plot, "bottom_right")
    return plot


def timeline(table: pd.DataFrame, steps: Sequence[float]) -> Any:
    """Draw the share of the class that has handed in, over time.

    `table` has a row for each submission: number, what, seconds from the due date, late, and the
    cumulative `share` in percent. `steps` are the shares of the points lost after each day.
    """
    days = table["seconds"] / DAY
    ends = (min(days.min(), 0) - 0.3, max(days.max(), 0, len(steps)) + 0.7)
    plot = empty("days after the due date", "% of the class", y_range=(0, 105), x_range=ends)
    plot.step(days, table["share"], mode="after", color=BLUE, line_width=2)
    upright(plot, 0, "solid")
    for day, lost in enumerate(steps, 1):
        upright(plot, day)
        place = {"x": [day], "y": [3 + 7 * (day % 2)]}  # by turns, for narrow screens
        plot.text(**place, text=[f" -{lost:.0%}"], text_font_size="12px", text_color=RED)
    dots = []
    for late, colour, marker in ((False, BLUE, "circle"), (True, RED, "triangle")):
        own = table[table["late"] == late]
        if own.empty:
            continue
        source = points_source(own, x=days[own.index], y=own["share"])
        dots.append(
            plot.scatter(
                "x",
                "y",
                source=source,
                color=colour,
                marker=marker,
                size=9,
                fill_alpha=0.6,
                legend_label="late" if late else "in time",
            )
        )
    pickable(plot, *dots)
    place_legend(plot, "top_left")
    return plot


def sections(table: pd.DataFrame, most: float) -> Any:
    """Draw each section's totals: points, and a box around the middle half with the median.

    `table` has a row for each student: number, what, section and total.
    """
    names = sorted(table["section"].unique())
    plot = empty(
        "total, points", "", height=max(280, 100 + 60 * len(names)), x_range=(0, 1.02 * most)
    )
    rows_of(plot, [name or "no section" for name in names])
    quartiles = table.groupby("section")["total"].quantile(np.array(QUARTILES)).unstack()
    low, middle, high = (quartiles.loc[names, q] for q in QUARTILES)
    y = np.arange(len(names))
    plot.hbar(
        y=y, left=low, right=high, height=0.6, fill_color=GREEN, fill_alpha=0.2, line_color=GREEN
    )
    plot.segment(middle, y - 0.3, middle, y + 0.3, color=GREEN, line_width=3)
    place = table["section"].map({name: row for row, name in enumerate(names)})
    # Equal totals lie next to each other: multiples of the golden ratio fill the height evenly.
    spread = (table.groupby("section").cumcount() * 0.618034) % 1 - 0.5
    source = points_source(table, x=table["total"], y=place + 0.5 * spread)
    pickable(plot, plot.scatter("x", "y", source=source, color=BLUE, size=7, fill_alpha=0.5))
    return plot


def markers(rows: Sequence[MarkerRow], numbers: dict[str, int]) -> Any:
    """Draw the mean share of the points that each marker gave for each part."""
    plot = empty("mean, % of the points of the part", "", height=90 + 30 * len(rows))
    plot.x_range.start, plot.x_range.end = 0, 103
    rows_of(plot, [f"{row.part}: {row.marker}" for row in rows])
    shares = np.array([100 * row.mean / (row.possible or 1) for row in rows])
    errors = np.array([100 * row.error / (row.possible or 1) for row in rows])
    y = np.arange(len(rows))
    plot.segment(shares - errors, y, shares + errors, y, color=BLUE, line_width=2)
    dots = []
    for far, colour, marker in ((False, BLUE, "circle"), (True, RED, "diamond")):
        own = [place for place, row in enumerate(rows) if row.is_far == far]
        source = ColumnDataSource(
            {
                "x": shares[own],
                "y": y[own],
                "members": [[numbers[name] for name in rows[place].submissions] for place in own],
                "what": [
                    f"{row.marker} gave {row.mean:.2f} of {row.possible:g} for {row.part} "
                    f"({len(row.submissions)} marked)"
                    for row in (rows[place] for place in own)
                ],
            }
        )
        size = 15 if far else 10
        dots.append(plot.scatter("x", "y", source=source, color=colour, marker=marker, size=size))
    pickable(plot, *dots)
    return plot
