#!/usr/bin/env python3
"""Writes as many objects see in a day, in minutes: what of it stays on the disk and in memory.

  day.py [--seconds S] [--objects N] [--hot N] [--plot FILE] [--no-build]

Objects are made, and then written to for --seconds, a 24th of it for each hour. In each hour other --hot objects
get nine tenths of the writes; the rest goes to all in turn, most of which are cold then. Objects leave memory
after two seconds without work, and a checkpoint is at most --checkpoint-after old, so that what else takes a day fits
into the minutes. Disk and memory are looked at meanwhile. Then the node is killed and started again, and every
object must hold exactly what was acknowledged. Prints JSON; --plot draws it.
"""
import argparse, json, multiprocessing, os, random, time

from day_plot import day_plot
from servers import DEADLINE, Durabo, Work, build, disk_stat, invoked, load, machine, memory_kb, note, part, request

MIB = 2**20


def bytes_of(folder, ending=""):
    """Bytes that the disk holds for the files of a folder with this ending."""
    total = 0
    for path, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.stat(f"{path}/{file}").st_blocks * 512 if file.endswith(ending) else 0
            except FileNotFoundError:
                pass  # a segment that was recycled meanwhile
    return total


def written_bytes(server):
    """Bytes that the whole disk has written, for whomever; what the system says of a process counts the large blocks of
    memory that a few changed bytes are in. None if the system does not tell."""
    stat = disk_stat(server.data)
    return int(open(stat).read().split()[6]) * 512 if stat else None


def sample(server, begin):
    status = server.status()
    return {"s": round(time.perf_counter() - begin, 1), "log_written": status["log"]["durablePosition"],
            "log_to_read": status["log"]["recoveryBytes"], "commits": status["log"]["commits"],
            "log_on_disk": bytes_of(f"{server.data}/log"), "objects_on_disk": bytes_of(f"{server.data}/objects"),
            "rss": memory_kb(server.pid)["rss_kb"] * 1024, "live": status["liveObjects"], "written": written_bytes(server)}


def watch(server, begin, every, stop, results):
    """Samples until told to stop; in a process of its own, so that it does not hold the client up."""
    samples = []
    while not stop.wait(every):
        samples.append(sample(server, begin))
    results.put(samples)


def writes(server, options):
    """The requests of a day: nine of ten to the hour's hot objects, the others to all in turn."""
    dice, begin, cold = random.Random(options.seed), time.perf_counter(), 0
    while True:
        hour = int(24 * (time.perf_counter() - begin) / options.seconds)
        if dice.random() < 0.9:
            number = (hour * options.hot + dice.randrange(options.hot)) % options.objects
        else:
            number = cold = (cold + 1) % options.objects
        yield number, request(server.path("counter", f"o-{number}"))


def spend(server, options):
    """The day itself; samples, latencies, and what each object was counted up to."""
    counted, refused = [0] * options.objects, []

    def check(number, body):
        counted[number] += 1

    names = ((n, request(server.path("counter", f"o-{n}"))) for n in range(options.objects))
    load(server.port, names, 64, check, refused=refused)
    note(f"{options.objects} objects were made")
    begin = time.perf_counter()
    stop, results = multiprocessing.Event(), multiprocessing.Queue()
    first = sample(server, begin)
    watcher = multiprocessing.Process(target=watch, args=(server, begin, options.seconds / 120, stop, results))
    watcher.start()
    try:
        latencies = load(server.port, writes(server, options), 64, check, options.seconds, refused)
    finally:
        stop.set()
    samples = [first, *results.get(timeout=DEADLINE), sample(server, begin)]
    watcher.join()
    return samples, latencies, counted, refused


def check_all(server, counted):
    """Every object holds exactly what was acknowledged: nothing was under way when the node was killed."""
    def check(number, body):
        if int(body) != counted[number]:
            raise SystemExit(f"object {number} holds {body!r}, {counted[number]} were acknowledged")
    load(server.port, ((n, request(server.path("peek", f"o-{n}"))) for n in range(len(counted))), 64, check, refused=[])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="length of the day")
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--hot", type=int, default=100, help="objects that get most writes of an hour")
    parser.add_argument("--checkpoint-after", default="5s", help="age of the oldest commit that is in the log alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", help="file for the plot")
    parser.add_argument("--no-build", action="store_true", help="use what is built")
    options = parser.parse_args()
    if not options.no_build:
        build(peer=False)
    limits = ("hibernate_after=1s", "close_after=1s", f"checkpoint_after={options.checkpoint_after}")
    with Work() as work, Durabo(f"{work}/data") as server:
        server.start(*limits).wait("/readyz")
        server.deploy("bench", "example_bench")
        samples, latencies, counted, refused = spend(server, options)
        first, last = samples[0], samples[-1]
        commits, logged = last["commits"] - first["commits"], last["log_written"] - first["log_written"]
        server.kill()
        start_ms = round(server.start(*limits).wait("/readyz"), 1)
        note(f"started again in {start_ms} ms")
        row = {"objects": options.objects, "hot": options.hot, "writes": len(latencies), "refused": len(refused),
               "commits": commits, "commits_per_s": round(commits / last["s"]),
               "p50_us": round(part(latencies, 0.5)), "p99_us": round(part(latencies, 0.99)),
               "log_written": logged, "log_bytes_per_commit": round(logged / commits, 1),
               "disk_bytes_per_commit": last["written"] and round((last["written"] - first["written"]) / commits),
               "log_on_disk_most": max(s["log_on_disk"] for s in samples),
               "log_to_read_most": max(s["log_to_read"] for s in samples),
               "objects_on_disk": last["objects_on_disk"], "rss_most": max(s["rss"] for s in samples),
               "live_most": max(s["live"] for s in samples), "log_to_read_at_kill": last["log_to_read"],
               "start_after_kill_ms": start_ms, "rss_after_start": memory_kb(server.pid)["rss_kb"] * 1024}
        check_all(server, counted)
    if options.plot:
        with open(options.plot, "w") as file:
            file.write(day_plot(samples))
    print(json.dumps({"tool": "day", "machine": machine(), "command": invoked(), "options": vars(options), "rows": [row],
                      "samples": samples}, indent=1))


if __name__ == "__main__":
    main()
