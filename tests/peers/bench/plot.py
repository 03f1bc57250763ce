"""Draws the fairness run as an SVG: latencies over time, and by share of the calls.

Both panels have a logarithmic scale of milliseconds, since what matters are the few slow calls.
"""
import math

from servers import part

WIDTH, HEIGHT, LEFT, TOP, PANEL = 900, 400, 60, 50, 370
COLOURS = ("#2b6cb0", "#c05621")
LEAST_MS, MOST_MS = 0.1, 1000
# Shares of the calls that the right panel marks.
SHARES = (0, 0.5, 0.9, 0.99, 0.999)


def _y(micros):
    ms = min(max(micros / 1000, LEAST_MS), MOST_MS)
    share = math.log10(ms / LEAST_MS) / math.log10(MOST_MS / LEAST_MS)
    return round(TOP + (HEIGHT - TOP - 60) * (1 - share), 1)


def _text(x, y, text, anchor="middle", more=""):
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{more}>{text}</text>'


def _line(points, colour, more=""):
    path = " ".join(f"{round(x, 1)},{y}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}"{more}/>'


def _grid(left, bottom_labels):
    lines = []
    for power in range(round(math.log10(LEAST_MS)), round(math.log10(MOST_MS)) + 1):
        y = _y(1000 * 10**power)
        lines.append(f'<line x1="{left}" x2="{left + PANEL}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        lines.append(_text(left - 6, y + 4, f"{10**power:g}", "end"))
    for x, label in bottom_labels:
        lines.append(_text(round(x, 1), HEIGHT - 40, label))
    return lines


def _over_time(left, phases):
    """The p50, p99 and slowest call of each quarter of a second."""
    length = max(due for done in phases.values() for due, _ in done)
    x = lambda due: left + PANEL * due / length
    ticks = range(0, math.ceil(length) + 1, max(1, math.ceil(length / 6)))
    out = _grid(left, [(x(second), second) for second in ticks if second <= length])
    out.append(_text(left + PANEL / 2, HEIGHT - 18, "seconds since the phase began"))
    for (name, done), colour in zip(phases.items(), COLOURS):
        slices = {}
        for due, latency in done:
            slices.setdefault(int(due * 4), []).append(latency)
        for share, more in ((0.5, ' stroke-width="1.5"'), (0.99, ' stroke-dasharray="4 2"')):
            points = [(x(min(length, at / 4)), _y(part(sorted(some), share))) for at, some in sorted(slices.items())]
            out.append(_line(points, colour, more))
        out += [f'<circle cx="{round(x(min(length, at / 4)), 1)}" cy="{_y(max(some))}" r="1.6" fill="{colour}"/>'
                for at, some in sorted(slices.items())]
    return out


def _by_share(left, phases):
    """Latencies by the share of calls that were faster, drawn out towards the slowest."""
    end = math.log10(max(len(done) for done in phases.values()))
    x = lambda share: left + PANEL * min(1, -math.log10(1 - share) / end)
    out = _grid(left, [(x(share), f"{share * 100:g} %") for share in SHARES if -math.log10(1 - share) <= end])
    out.append(_text(left + PANEL / 2, HEIGHT - 18, "share of calls that were faster"))
    for (name, done), colour in zip(phases.items(), COLOURS):
        ordered = sorted(latency for _, latency in done)
        shares = [1 - 10 ** (-end * step / 200) for step in range(200)]
        points = [(x(share), _y(part(ordered, share))) for share in shares]
        out.append(_line(points + [(left + PANEL, _y(ordered[-1]))], colour, ' stroke-width="1.5"'))
    return out


def fairness_plot(phases):
    """SVG of phases by name, each a list of moments (seconds) and latencies (microseconds)."""
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           _text(LEFT, 20, "Latency of small calls in milliseconds", "start", ' font-size="14"')]
    for at, (name, colour) in enumerate(zip(phases, COLOURS)):
        out.append(_text(LEFT + 110 * at, 38, name, "start", f' fill="{colour}"'))
    out.append(_text(LEFT + 230, 38, "left: p50 solid, p99 dashed, dots the slowest of each quarter of a second", "start", ' fill="#555"'))
    out += _over_time(LEFT, phases) + _by_share(LEFT + PANEL + 70, phases)
    return "\n".join(out + ["</svg>", ""])
