"""What many rounds come to: medians, and shares of Kafka's."""

import statistics

import rows


def medians(measured):
    """Row -> side -> figure -> the median over the rounds that gave one. `measured`: a dictionary for each row, side and round."""
    gathered = {}
    for one in measured:
        figures = gathered.setdefault(one["row"], {}).setdefault(one["side"], {})
        for key in rows.FIGURES.keys() & one.keys():
            figures.setdefault(key, []).append(one[key])
    return {
        row: {side: {key: statistics.median(values) for key, values in figures.items()} for side, figures in sides.items()}
        for row, sides in gathered.items()
    }


def reasons(measured):
    """Row -> side -> why a round gave no figures: the last one's words."""
    found = {}
    for one in measured:
        for key, words in (("error", "failed"), ("unavailable", "not measured")):
            if key in one:
                found.setdefault(one["row"], {})[one["side"]] = f"{words}: {one[key]}"
    return found


def share(ours, kafkas):
    """`1.25`, or nothing where there is no figure, or where a clock of whole milliseconds says 0."""
    return f"{ours / kafkas:.2f}" if ours is not None and kafkas else ""
