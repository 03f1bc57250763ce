"""Draws the day of writes as an SVG: what was written and what is on the disk, and memory, over time."""
import math

WIDTH, HEIGHT, LEFT, TOP, PANEL, BOTTOM = 900, 400, 60, 70, 350, 60
MIB = 2**20


def _text(x, y, text, anchor="middle", more=""):
    return f'<text x="{round(x, 1)}" y="{round(y, 1)}" text-anchor="{anchor}"{more}>{text}</text>'


def _round_up(value):
    """The next 1, 2 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(max(value, 1)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def _panel(left, title, lines, samples):
    """Lines of (name, colour, value of a sample), on one scale from 0."""
    length = samples[-1]["s"]
    most = _round_up(max(value(sample) for _, _, value in lines for sample in samples))
    x = lambda second: left + PANEL * second / length
    y = lambda value: HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / most
    out = [_text(left, 40, title, "start")]
    for step in range(6):
        value = most * step / 5
        out.append(f'<line x1="{left}" x2="{left + PANEL}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>')
        out.append(_text(left - 6, y(value) + 4, f"{value:g}", "end"))
    for hour in range(0, 25, 6):
        out.append(_text(x(length * hour / 24), HEIGHT - BOTTOM + 18, f"{hour} h"))
    for at, (name, colour, value) in enumerate(lines):
        points = " ".join(f"{x(sample['s']):.1f},{y(value(sample)):.1f}" for sample in samples)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        out.append(_text(left + 130 * at, 58, name, "start", f' fill="{colour}"'))
    return out


def day_plot(samples):
    """SVG of the samples that `day.py` took."""
    of = lambda name: lambda sample: sample[name] / MIB
    first = samples[0]["log_written"]
    disk = [("log written so far", "#999", lambda sample: (sample["log_written"] - first) / MIB),
            ("log on the disk", "#2b6cb0", of("log_on_disk")), ("objects' files", "#c05621", of("objects_on_disk"))]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           _text(LEFT, 20, "A day of writes, compressed", "start", ' font-size="14"')]
    out += _panel(LEFT, "MiB on the disk", disk, samples)
    out += _panel(LEFT + PANEL + 80, "MiB of memory", [("resident", "#2b6cb0", of("rss"))], samples)
    return "\n".join(out + ["</svg>", ""])
