#!/usr/bin/env python3
"""Turns the JSON of `run` into the Markdown table of docs/benchmarks.md, ratios below 1 first.

  table.py RESULT.json [PEER [OURS]]

A ratio is ours over the peer's where more is better (requests per second, requests per CPU-second), so
that above 1 is always better for us.
"""
import json
import sys

result = json.load(open(sys.argv[1]))
peer, ours = (sys.argv[2:] + ["workerd", "durabo"][len(sys.argv) - 2:])[:2]
rows = {}
for row in result["rows"]:
    if "rps" in row:
        rows.setdefault((row["workload"], row["conc"]), {})[row["target"]] = row

lines = []
for (workload, conc), both in rows.items():
    if peer not in both or ours not in both:
        continue
    p, o = both[peer], both[ours]
    rate = o["rps"] / p["rps"]
    cpu = p["cpu_us_per_request"] / o["cpu_us_per_request"]
    lines.append((min(rate, cpu), f"| {workload} | {conc} | {p['rps']:,.0f} | {o['rps']:,.0f} | **{rate:.1f}** | "
                  f"{p['p50_us'] / 1000:.2f} / {p['p99_us'] / 1000:.1f} | {o['p50_us'] / 1000:.2f} / {o['p99_us'] / 1000:.1f} | "
                  f"{p['cpu_us_per_request']:,.0f} | {o['cpu_us_per_request']:,.0f} | **{cpu:.1f}** |"))

below = [line for ratio, line in lines if ratio < 1]
print(f"Ratios below 1: {len(below) or 'none'}.\n")
print(f"| workload | connections | {peer}/s | {ours}/s | ratio | {peer} p50 / p99 ms | {ours} p50 / p99 ms | "
      f"{peer} CPU µs | {ours} CPU µs | ratio |")
print("|---|---|---|---|---|---|---|---|---|---|")
print("\n".join(below + [line for ratio, line in lines if ratio >= 1]))
syncs = [row for row in result["rows"] if row["workload"] == "fsyncs per request"]
if syncs:
    print("\n| synced writes per request | server | one client | 64 clients, one object |\n|---|---|---|---|")
    for row in syncs:
        print(f"| {row['what']} | {row['target']} | {row['sequential']:.2f} | {row.get('c64_one_object', '')} |")
