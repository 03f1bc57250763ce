#!/usr/bin/env python3
"""Turns the JSON of the tools into the tables of docs/benchmarks.md.

  table.py [--write FILE] RESULT.json ...

RESULTS are of `run`, `sockets.py`, `starts.py`, `scaling.py`, `day.py` and `fairness.py`, any of them; a later one
of a tool replaces an earlier. Prints Markdown, or puts it between the two marks of FILE. A ratio is ours over the
peer's where more is better (requests per second, requests per CPU-second), so that above 1 is always better
for us; ratios below 1 come first.
"""
import argparse, json, sys

PEER, OURS, AXUM = "workerd", "durabo", "axum"
BEGIN, END = "<!-- measured: tests/peers/bench/table.py writes from here -->", "<!-- measured: to here -->"


def markdown(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def ms(micros, digits=1):
    return f"{micros / 1000:.{digits}f}"


def mib(kb):
    return f"{kb / 1024:,.0f}"


def paired(result):
    """Rows of the HTTP workloads: by workload and connections, a row for each server."""
    rows = {}
    for row in result["rows"]:
        if "cpu_us_per_request" in row:
            rows.setdefault((row["workload"], row["conc"]), {})[row["target"]] = row
    for (workload, conc), both in rows.items():
        if workload == "rows-many" and PEER in rows.get(("rows", conc), {}):  # what the peer has for the same work
            both[PEER] = rows[("rows", conc)][PEER]
    return rows


def ratios(both):
    """Ours over the peer's: requests per second, and per CPU-second."""
    p, o = both[PEER], both[OURS]
    return o["rps"] / p["rps"], p["cpu_us_per_request"] / o["cpu_us_per_request"]


def machine(results):
    """Of the first; the others must be of the same machine and program."""
    first = next(iter(results.values()))["machine"]
    for result in results.values():
        if result["machine"] != first:
            print(f"{result['tool']} was measured elsewhere or with another build: {result['machine']}", file=sys.stderr)
    rows = [("machine", f"{first['cores']} cores ({first['cpu']}), {first['memory_gib']} GiB, {first['file_system']} on "
                        f"`{first['device']}`, Linux {first['kernel']}"),
            ("versions", f"{first['durabo']}, release build, default settings, `strict` durability; "
                         f"workerd {first['workerd']}")]
    for tool, result in results.items():
        rows.append((f"{tool}", f"`tests/peers/bench/{result['command']}`"))
    return markdown(("", ""), rows)


def beside_peer(result):
    lines = []
    for (workload, conc), both in paired(result).items():
        if PEER in both and OURS in both:
            p, o = both[PEER], both[OURS]
            rate, cpu = ratios(both)
            lines.append((min(rate, cpu), (
                workload, conc, f"{p['rps']:,.0f}", f"{o['rps']:,.0f}", f"**{rate:.1f}**",
                f"{ms(p['p50_us'], 2)} / {ms(p['p99_us'])}", f"{ms(o['p50_us'], 2)} / {ms(o['p99_us'])}",
                f"{p['cpu_us_per_request']:,.0f}", f"{o['cpu_us_per_request']:,.0f}", f"**{cpu:.1f}**")))
    below = [line for ratio, line in lines if ratio < 1]
    head = ("workload", "connections", f"{PEER}/s", f"{OURS}/s", "ratio", f"{PEER} p50 / p99 ms", f"{OURS} p50 / p99 ms",
            f"{PEER} CPU µs", f"{OURS} CPU µs", "ratio")
    disturbed = [f"{row['workload']} of {row['target']} at {row['conc']}" for row in result["rows"] if row.get("other_cpu", 0) >= 0.2]
    failed = [f"{row['workload']} of {row['target']} at {row['conc']}: {row['errors']}" for row in result["rows"] if row.get("errors")]
    return "\n\n".join([
        f"Ratios below 1: {len(below) or 'none'}.", markdown(head, below + [line for ratio, line in lines if ratio >= 1]),
        f"Rows in which the rest of the machine used 0.2 cores or more: {', '.join(disturbed) or 'none'}.\n"
        f"Rows with errors: {', '.join(failed) or 'none'}."])


def limits(result):
    rows, paths = [], paired(result)
    for (workload, conc), both in paths.items():
        if AXUM in both and OURS in both:
            a, o = both[AXUM], both[OURS]
            rows.append((workload, conc, "bare axum", f"{a['rps']:,.0f}", f"{o['rps']:,.0f}", f"{100 * o['rps'] / a['rps']:.0f} %",
                         f"{a['cpu_us_per_request']:.0f} / {o['cpu_us_per_request']:.0f}"))
    for row in result["rows"]:
        if row["workload"] == "append":
            o = paths[("counter", row["conc"])][OURS]
            rows.append(("counter", row["conc"], f"bare append, {row['bytes']} bytes", f"{row['rps']:,.0f}", f"{o['rps']:,.0f}",
                         f"{100 * o['rps'] / row['rps']:.0f} %", ""))
    return markdown(("workload", "connections", "limit", "limit/s", f"{OURS}/s", "of the limit", "CPU µs, limit / " + OURS), rows)


def syncs(result):
    rows = []
    for (workload, conc), both in paired(result).items():
        for target, row in both.items():
            if workload in ("counter", "counter-spread", "create", "rows") and "flushes" in row and row["requests"]:
                log = row.get("log") or {}
                own = f"{log['syncs'] / log['commits']:.3f}" if log.get("commits") else ""
                size = f"{log['bytes'] / log['commits']:,.0f}" if log.get("commits") else ""
                rows.append((workload, conc, target, f"{row['flushes'] / row['requests']:.3f}", own, size))
    traced = [(row["what"], row["target"], f"{row['sequential']:.2f}") for row in result["rows"]
              if row["workload"] == "fsyncs per request"]
    text = markdown(("workload", "connections", "server", "disk flushes per request", "log syncs per commit", "log bytes per commit"), rows)
    if traced:
        text += "\n\n" + markdown(("synced writes per request, one client, under strace", "server", ""), traced)
    return text


def alarms(result):
    rows = [row for row in result["rows"] if row["workload"] == "alarm"]
    late = lambda row: " / ".join(str(row["late_ms"][part]) for part in ("p50", "p99", "max"))
    return markdown(("alarms", "", "server", "set one by one, /s", "late by ms, p50 / p99 / most"),
                    [(row["alarms"], row["what"], row["target"], row["set_per_s"], late(row)) for row in rows])


def of_both(result, workloads, *keys):
    """Rows of some workloads, by some of their fields: those of peer and durabo."""
    rows = {}
    for row in result["rows"]:
        if row["workload"] in workloads:
            rows.setdefault(tuple(row[key] for key in keys), {})[row["target"]] = row
    return {key: (both[PEER], both[OURS]) for key, both in rows.items() if PEER in both and OURS in both}


def messages(result):
    """Echo and fan-out, by kind and number of sockets: rows of peer and durabo."""
    rows = of_both(result, ("ws echo", "ws fanout"), "workload", "n")
    kinds = {"ws echo": "echo", "ws fanout": "fan-out"}
    return {(kinds[workload], n): both for (workload, n), both in rows.items()}


def idle_sockets(result):
    """By sockets, objects and seconds without a message: how each server was then, peer and durabo; None for a peer that
    could not hold them."""
    rows = {}
    for key, (peer, ours) in of_both(result, ("ws idle",), "sockets", "objects").items():
        for at, phase in enumerate(ours.get("phases", [])):
            rows[(*key, phase["idle_s"])] = (peer["phases"][at] if "phases" in peer else None, phase)
    return rows


def crowds(result):
    """Broadcasts beside a socket that reads what is sent to it, and beside one that never does."""
    kinds, rows = {False: "reads", True: "never reads"}, {}
    for row in result["rows"]:
        if row["workload"] == "ws crowd":
            rows.setdefault((row["n"], row["target"]), {})[row["never_reads"]] = row
    return [(f"{n:,}", target, kinds[never], f"{row['per_s']:,}", f"{ms(row['p50_us'], 2)} / {ms(row['p99_us'])}",
             f"**{row['p99_us'] / both[False]['p99_us']:.2f}**" if never else "", mib(row["rss_kb_taken"]), row["end"])
            for (n, target), both in rows.items() for never, row in sorted(both.items())]


def sockets(result):
    bare = {(row["workload"], row["n"]): f"{row['cpu_us_per_message']:.1f}" for row in result["rows"] if row["target"] == AXUM}
    lines = [(kind, n, f"{p['per_s']:,}", f"{o['per_s']:,}", f"**{o['per_s'] / p['per_s']:.1f}**",
              f"{ms(p['p50_us'], 2)} / {ms(p['p99_us'])}", f"{ms(o['p50_us'], 2)} / {ms(o['p99_us'])}",
              f"{p['cpu_us_per_message']:.1f}", f"{o['cpu_us_per_message']:.1f}",
              f"**{p['cpu_us_per_message'] / o['cpu_us_per_message']:.1f}**", bare.get((o["workload"], n), ""))
             for (kind, n), (p, o) in messages(result).items()]
    below = [f"{kind} at {n:,}, {what} {value:.2f}" for (kind, n), (p, o) in messages(result).items() for what, value in
             (("messages", o["per_s"] / p["per_s"]), ("CPU", p["cpu_us_per_message"] / o["cpu_us_per_message"])) if value < 1]
    disturbed = [f"{kind} of {row['target']} at {n}" for (kind, n), both in messages(result).items() for row in both
                 if row["other_cpu"] >= 0.2]
    bytes_each = lambda row: f"{row['rss_per_socket']:,}" if row else ""
    renewed = lambda row: f"{row['instances_replaced']:,}" if row else ""
    woken = lambda row: f"{ms(row['first_p50_us'], 2)} / {ms(row['first_p99_us'], 2)}" if row else ""
    ratio = lambda p, o, field: f"**{p[field] / o[field]:.1f}**" if p and o[field] > 0 else ""
    idle = [(f"{n:,}", f"{objects:,}", f"{seconds:g}", bytes_each(p), bytes_each(o), ratio(p, o, "rss_per_socket"),
             renewed(p), renewed(o), woken(p), woken(o), ratio(p, o, "first_p50_us"))
            for (n, objects, seconds), (p, o) in idle_sockets(result).items()]
    failed = [f"{row['target']} with {row['sockets']:,} on {row['objects']:,} ({row['failed'].partition(': ')[2]})"
              for row in result["rows"] if row["workload"] == "ws idle" and "failed" in row]
    return "\n\n".join([
        f"Ratios below 1: {', '.join(below) or 'none'}.",
        "Messages that came back, or were delivered, per second; latency from the message sent to the answer, or to the last receiver. "
        "The last column is the CPU of bare WebSockets, which have no object behind them.",
        markdown(("workload", "sockets", f"{PEER}/s", f"{OURS}/s", "ratio", f"{PEER} p50 / p99 ms", f"{OURS} p50 / p99 ms",
                  f"{PEER} CPU µs", f"{OURS} CPU µs", "ratio", "bare CPU µs"), lines),
        f"Rows in which the rest of the machine used 0.2 cores or more: {', '.join(disturbed) or 'none'}.",
        "Broadcasts to sockets of one object beside one more to which 60,000 bytes are sent with each: one that reads them, and one "
        "that never does. Latency from the message sent to each receiver; the ratio is that of the p99, with over without.",
        markdown(("receivers", "server", "the other one", "delivered/s", "p50 / p99 ms", "ratio", "MiB taken", "it was"), crowds(result)),
        "Idle sockets. Resident bytes are those of the whole process, beyond what it took before the first socket; after each "
        "time every socket was asked, and answered. An instance is new if its object had left memory or hibernated; the time to an "
        "answer is that of each object's first.",
        markdown(("sockets", "objects", "idle s", f"{PEER} bytes each", f"{OURS} bytes each", "ratio", f"{PEER} new instances",
                  f"{OURS} new instances", f"{PEER} first answer p50 / p99 ms", f"{OURS} first answer p50 / p99 ms", "ratio"), idle),
        f"Could not hold them: {', '.join(failed) or 'none'}."])


def starts(result):
    rows = {}
    for row in result["rows"]:
        rows.setdefault(row["what"], {})[row["target"]] = row
    cell = lambda row: f"{row['median_ms']} ({row['least_ms']} to {row['most_ms']})"
    lines = [(what, cell(both[PEER]), cell(both[OURS]), f"**{both[PEER]['median_ms'] / both[OURS]['median_ms']:.1f}**")
             for what, both in rows.items()]
    return markdown(("median of the starts, ms (least to most)", PEER, OURS, "ratio"), lines)


def scaling(result):
    texts = []
    disk = [row for row in result["rows"] if row["part"] == "disk"]
    if disk:
        lines = [(f"{row['objects']:,}", f"{row['made_per_s']:,}", f"{row['disk_bytes_per_object'] / 1024:.0f}", row["start_ms"],
                  row["start_after_kill_ms"], f"{ms(row['first_call_p50_us'], 2)} / {ms(row['first_call_p99_us'])}",
                  f"{row['commits_per_s']:,}", mib(row["rss_kb_after_start"]), mib(row["rss_kb_after_load"]))
                 for row in disk if "skipped" not in row]
        texts.append(markdown(("objects on disk", "made/s", "KiB each", "start ms", "start after kill -9 ms",
                               "first call p50 / p99 ms", "commits/s", "resident MiB after start", "under load"), lines))
        texts += [f"{row['objects']:,} objects were left out: {row['skipped']}." for row in disk if "skipped" in row]
    live = [row for row in result["rows"] if row["part"] == "live"]
    if live:
        each = lambda row: "" if row["rss_per_object"] is None else f"{row['rss_per_object'] / 1024:.0f}"
        lines = [(f"{row['touched']:,}", row["what"], f"{row['live']:,}", each(row),
                  mib(row["rss_kb"]), mib(row["rss_kb_after_idle"])) for row in live if "skipped" not in row]
        texts.append(markdown(("objects touched", "", "live then", "KiB resident for each further one", "resident MiB",
                               "when all have left"), lines))
        texts += [f"{row['touched']:,} objects {row['what']} were left out: {row['skipped']}." for row in live if "skipped" in row]
    log = [row for row in result["rows"] if row["part"] == "log"]
    if log:
        lines = [(f"{row['log_bytes'] / 2**30:.2f}", row["what"], f"{row['commits']:,}", f"{row['log_bytes_read'] / 2**20:.1f}",
                  row["start_after_kill_ms"], mib(row["rss_kb_after_start"]), f"{row['disk_bytes'] / 2**20:,.0f}")
                 for row in log if "skipped" not in row]
        texts.append(markdown(("log written, GiB", "", "commits", "MiB to read", "start after kill -9 ms",
                               "resident MiB after start", "data folder MiB"), lines))
        texts += [f"{row['what'].capitalize()} were left out{' at ' + str(row['gib']) + ' GiB' if row['gib'] else ''}: {row['skipped']}." for row in log if "skipped" in row]
    return "\n\n".join(texts)


def day(result):
    row, options = result["rows"][0], result["options"]
    size = lambda bytes: f"{bytes / 2**20:,.0f} MiB"
    rows = [("durable writes", f"{row['writes']:,} in {options['seconds']:g} s, {row['commits_per_s']:,} a second"),
            ("latency, p50 / p99", f"{ms(row['p50_us'])} / {ms(row['p99_us'])} ms"),
            ("log written", f"{size(row['log_written'])}, {row['log_bytes_per_commit']:,.0f} bytes a write"),
            *([("written by the whole disk", f"{row['disk_bytes_per_commit']:,} bytes a write")] if row["disk_bytes_per_commit"] else []),
            ("log on the disk, at most", size(row["log_on_disk_most"])),
            ("of it to be read by a start, at most", size(row["log_to_read_most"])),
            ("files of the objects", size(row["objects_on_disk"])),
            ("resident memory, at most", f"{size(row['rss_most'])}, with up to {row['live_most']:,} objects in it"),
            ("start after kill -9", f"{row['start_after_kill_ms']:,.0f} ms, every object as acknowledged")]
    about = (f"{row['objects']:,} objects, of which {row['hot']} get nine tenths of the writes and change each hour; a day takes "
             f"{options['seconds']:g} s, an idle object leaves memory after two, and checkpoints are {options['checkpoint_after']} old at most.")
    plot = "\n\n![What is on the disk and in memory](images/day.svg)" if options.get("plot") else ""
    return about + "\n\n" + markdown(("", ""), rows) + plot


def fairness(result):
    hogs, options = result["hogs"], result["options"]
    names = {"alone": "alone", "beside hogs": f"beside {hogs['sql']} objects in endless SQL and {hogs['loops']} spinning in Wasm"}
    rows = [(names[row["what"]], *(ms(row[p]) for p in ("p50", "p90", "p99", "p999", "max"))) for row in result["rows"]]
    calls = f"{options['rate']:,} calls a second over {options['objects']} objects for {options['seconds']:g} s, latencies in ms, every call answered correctly."
    return calls + "\n\n" + markdown(("", "p50", "p90", "p99", "p99.9", "max"), rows)


def goals(results):
    """Each goal with what was measured, and whether that meets it; only what was measured."""
    rows = []

    def goal(text, value, shown, met):
        if value is not None:
            rows.append((text, shown(value), "yes" if met(value) else "**no**"))

    times, at_least = lambda value: f"{value:.1f} times", lambda least: lambda value: value >= least
    paths = paired(results["run"]) if "run" in results else {}

    def ratio(workload, conc, which):
        both = paths.get((workload, conc), {})
        return ratios(both)[which] if PEER in both and OURS in both else None

    def cpu(workload):
        both = paths.get((workload, 64), {})
        return both[OURS]["cpu_us_per_request"] if OURS in both else None

    for workload in ("noop", "rpc", "read"):
        goal(f"10 times the peer's requests per CPU-second, {workload}, 64 connections", ratio(workload, 64, 1), times, at_least(10))
    for workload in ("counter", "counter-spread"):
        goal(f"10 times the peer's durable counts per second, {workload}, 64 connections", ratio(workload, 64, 0), times, at_least(10))
    for workload in ("kv", "kv-spread"):
        goal(f"10 times the peer's durable keys per second, {workload}, 64 connections", ratio(workload, 64, 0), times, at_least(10))
    for workload, how in (("rows-many", "in one call; the peer statement by statement"), ("rows", "statement by statement")):
        goal(f"5 times the peer's rows per CPU-second, 1,000 in a transaction, {how}, 64 connections", ratio(workload, 64, 1), times, at_least(5))
    goal("5 times the peer's new objects per second, 64 connections", ratio("create", 64, 0), times, at_least(5))
    alone = [ratio(workload, 1, 0) for workload, conc in paths if conc == 1]
    alone = [value for value in alone if value is not None]
    goal("not slower for a lone client, slowest workload", min(alone) if alone else None, times, at_least(1))
    socket_goals(results.get("sockets", {"rows": []}), goal)
    first = {row["target"]: row["median_ms"] for row in results.get("starts", {"rows": []})["rows"] if row["what"] == "first durable answer"}
    goal("first durable answer sooner than the peer's", first or None, lambda f: f"{f[OURS]} ms, peer {f[PEER]} ms", lambda f: f[OURS] < f[PEER])
    log = paths.get(("counter", 64), {}).get(OURS, {}).get("log") or {}
    goal("under 0.1 syncs per commit, counter, 64 connections", log["syncs"] / log["commits"] if log.get("commits") else None,
         lambda value: f"{value:.3f}", lambda value: value < 0.1)
    for workload in ("noop", "read", "counter"):
        one, spread = cpu(workload), cpu(f"{workload}-spread")
        goal(f"1,000 objects at most twice the CPU of one, {workload}, 64 connections", spread / one if one and spread else None,
             times, lambda value: value <= 2)
    goal("under 300 bytes of log per small commit, counter, 64 connections", log["bytes"] / log["commits"] if log.get("commits") else None,
         lambda value: f"{value:.0f}", lambda value: value < 300)
    late = {}
    for row in results.get("run", {"rows": []})["rows"]:
        if row["workload"] == "alarm":
            late.setdefault((row["alarms"], row["what"]), {})[row["target"]] = row["late_ms"]
    for (count, what), both in late.items():
        for part in ("p50", "p99"):
            values = {target: row[part] for target, row in both.items()}
            goal(f"alarms no later than the peer's, {count} {what}, {part}", values if PEER in values and OURS in values else None,
                 lambda v: f"{v[OURS]} ms, peer {v[PEER]} ms", lambda v: v[OURS] <= v[PEER])
    live = {row["what"]: row["rss_per_object"] / 1024 for row in results.get("scaling", {"rows": []})["rows"]
            if row["part"] == "live" and "skipped" not in row and row["rss_per_object"] is not None}
    for what, most in (("with database", 120), ("without database", 70)):
        goal(f"under {most} KiB resident by further live object, {what}", live.get(what), lambda value: f"{value:.0f} KiB",
             lambda value, most=most: value < most)
    both = paths.get(("noop", 64), {})
    goal("noop at 60 % of bare axum, 64 connections", both[OURS]["rps"] / both[AXUM]["rps"] if AXUM in both else None,
         lambda value: f"{100 * value:.0f} %", at_least(0.6))
    slow = {row["what"]: row["p99"] for row in results.get("fairness", {"rows": []})["rows"]}
    goal("p99 under 100 ms beside hogs", slow.get("beside hogs"), lambda value: f"{ms(value)} ms", lambda value: value < 100_000)
    return markdown(("goal", "measured", "met"), rows)


def socket_goals(result, goal):
    for (kind, n), (p, o) in messages(result).items():
        goal(f"5 times the peer's messages per CPU-second, {kind}, {n:,} socket{'' if n == 1 else 's'}", p["cpu_us_per_message"] / o["cpu_us_per_message"],
             lambda value: f"{value:.1f} times", lambda value: value >= 5)
    crowd = {row["never_reads"]: row for row in result["rows"] if row["workload"] == "ws crowd" and row["target"] == OURS}
    for n in {row["n"] for row in crowd.values()}:
        goal(f"p99 of {n:,} sockets at most a tenth longer beside one that never reads, which is closed",
             (crowd[True]["p99_us"] / crowd[False]["p99_us"], crowd[True]["end"]) if len(crowd) == 2 else None,
             lambda v: f"{v[0]:.2f} times, {v[1]}", lambda v: v[0] <= 1.1 and v[1] in ("closed with 1013", "lost"))
    for (n, objects), (_, ours) in of_both(result, ("ws idle",), "sockets", "objects").items():
        goal(f"{n:,} idle sockets on {objects:,} objects", ours.get("failed"), lambda value: "lost", lambda value: False)
    for (n, objects, seconds), (p, o) in idle_sockets(result).items():
        where = f"{n:,} idle sockets on {objects:,} {'object' if objects == 1 else 'objects'}"
        where += f", idle for {seconds:g} s" if seconds else ""
        goal(f"less than half the peer's memory, {where}",
             o["rss_per_socket"] / p["rss_per_socket"] if p and p["rss_per_socket"] > 0 else None,
             lambda value: f"{100 * value:.0f} %", lambda value: value < 0.5)
        if not seconds:
            continue  # asked for the first time, while their objects live
        goal(f"all objects were woken, {where}", o["instances_replaced"], lambda value, objects=objects: f"{value:,} of {objects:,}",
             lambda value, objects=objects: value == objects)
        goal(f"woken objects answer within 1 ms at p50, {where}", o["first_p50_us"], lambda value: f"{ms(value, 2)} ms",
             lambda value: value < 1000)
        if n >= 10_000:
            goal(f"at most 4 KiB resident each, and all answer when woken, {where}", o["rss_per_socket"],
                 lambda value, o=o, n=n: f"{value:,} bytes, {o['answered']:,} of {n:,} answered",
                 lambda value, o=o, n=n: value <= 4096 and o["answered"] == n)


SECTIONS = [("run", "Beside the peer", beside_peer), ("run", "Beside the limits of the machine", limits),
            ("run", "Syncs", syncs), ("run", "Alarms", alarms), ("sockets", "Sockets", sockets), ("starts", "First answers", starts),
            ("scaling", "What grows with a node", scaling),
            ("day", "A day of writes", day),
            ("fairness", "Neighbours of hogs", fairness)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+")
    parser.add_argument("--write", metavar="FILE", help="document whose measured part is replaced")
    options = parser.parse_args()
    results = {result["tool"]: result for result in (json.load(open(path)) for path in options.results)}
    parts = [machine(results), "## Goals\n\n" + goals(results)]
    parts += [f"## {title}\n\n{write(results[tool])}" for tool, title, write in SECTIONS if tool in results]
    if "fairness" in results and results["fairness"]["options"].get("plot"):
        parts.append("![Latencies alone and beside hogs](images/fairness.svg)")
    text = "\n\n".join(parts)
    if not options.write:
        return print(text)
    document = open(options.write).read()
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{options.write} lacks the line `{BEGIN}` or `{END}`")
    with open(options.write, "w") as file:
        file.write(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
