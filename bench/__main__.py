"""`make bench`: runs each benchmark in turn and prints its rows; `make bench ARGS="gateway_ingest --json"` runs one.

A benchmark is a module with `run() -> list[dict]`; a row is {"what", "value", "unit", and "ratio", "baseline" where
it is compared}. Absolute figures do not carry to another machine; ratios of one run do.
"""

import argparse
import importlib
import json
import pkgutil
import sys
from collections.abc import Mapping

import bench


def main() -> None:
    """Entry point: names of benchmarks, or none for all."""
    names = sorted(module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of: {', '.join(names)}")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.names) - set(names))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(names)}")
    results: dict[str, list[dict[str, object]]] = {}
    for name in chosen.names or names:
        print(f"== {name}", file=sys.stderr, flush=True)
        results[name] = importlib.import_module(f"bench.{name}").run()
        if not chosen.json:
            for row in results[name]:
                print(line(row), flush=True)
    if chosen.json:
        print(json.dumps(results))


def line(row: Mapping[str, object]) -> str:
    """One row for people: what, how much, and over what."""
    value = row["value"]
    shown = f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    text = f"  {row['what']!s:<58} {shown:>12} {row.get('unit', '')!s:<12}"
    if "ratio" in row:
        text += f" {row['ratio']:.2f} x {row['baseline']}"
    return text.rstrip()


if __name__ == "__main__":
    main()
