#!/usr/bin/env python3
"""The flight records of the npm package vega-datasets 3.2.1, as lines for kcat: origin, a tab, the record as JSON.

  flights.py            the 20,000 records of flights-20k.json
  flights.py --all      the 3,000,000 of flights-3m.parquet (needs pyarrow)
  flights.py --fetch    download the package and print nothing

The package is fetched once, checked, and kept in $FBF_CACHE. npm_config_registry names another registry, as it does for npm.
"""

import base64
import hashlib
import json
import os
import pathlib
import sys
import tarfile
import time
import urllib.error
import urllib.request

VERSION = "3.2.1"
# `npm view vega-datasets@3.2.1 dist.integrity`
SHA512 = "lTSwZA6yq6qSU2YZm+6bqILiIvTPPxn4itir7jPGFmHIdPvUfQ9pCzzcrklYywMJgLUbaIeSkZQdiJd6wBxPug=="
FILES = {"package/data/flights-20k.json": "flights-20k.json", "package/data/flights-3m.parquet": "flights-3m.parquet"}
ATTEMPTS = 4


def folder():
    cache = os.environ.get("FBF_CACHE") or pathlib.Path.home() / ".cache" / "fourbyfour-stream"
    return pathlib.Path(cache) / f"vega-datasets-{VERSION}"


def fetched():
    """The folder with both files; downloads them when they are not there."""
    if not all((folder() / name).exists() for name in FILES.values()):
        fetch()
    return folder()


def fetch():
    registry = os.environ.get("npm_config_registry") or "https://registry.npmjs.org"
    package = download(f"{registry.rstrip('/')}/vega-datasets/-/vega-datasets-{VERSION}.tgz")
    digest = base64.b64encode(hashlib.sha512(package).digest()).decode()
    if digest != SHA512:
        sys.exit(f"vega-datasets {VERSION}: sha512 {digest}, expected {SHA512}; the registry sent something else")
    folder().mkdir(parents=True, exist_ok=True)
    archive = folder() / "package.tgz"
    archive.write_bytes(package)
    with tarfile.open(archive) as tar:
        for member, name in FILES.items():
            partial = folder() / f"{name}.partial"
            partial.write_bytes(tar.extractfile(member).read())
            partial.rename(folder() / name)
    archive.unlink()


def download(url):
    print(f"downloading {url}", file=sys.stderr)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.read()
        except (urllib.error.URLError, OSError) as error:
            if attempt == ATTEMPTS:
                sys.exit(f"{url}: {error}")
            time.sleep(2**attempt)


def lines_20k():
    """Keyed lines, as bytes without the newline."""
    with open(fetched() / "flights-20k.json", encoding="utf-8") as file:
        for flight in json.load(file):
            yield line(flight)


def lines_3m():
    """The same shape, from the parquet file, whose times become the words of the JSON file."""
    import pyarrow.compute
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(fetched() / "flights-3m.parquet")
    for batch in file.iter_batches(batch_size=50_000):
        dates = pyarrow.compute.strftime(batch["date"], format="%Y/%m/%d %H:%M").to_pylist()
        columns = [batch[name].to_pylist() for name in ("delay", "distance", "origin", "destination")]
        for date, delay, distance, origin, destination in zip(dates, *columns, strict=True):
            # The words of line(), written out: the records are plain ASCII without quotes, and this is four times as fast.
            yield (
                f'{origin}\t{{"date":"{date}","delay":{delay},"distance":{distance},'
                f'"origin":"{origin}","destination":"{destination}"}}'
            ).encode()


def prepared(size):
    """The path of a file with all the lines of `size` ("20k" or "3m"); written once, since 3,000,000 take a while."""
    file = folder() / f"flights-{size}.lines"
    if not file.exists():
        print(f"writing {file.name}", file=sys.stderr)
        partial = file.with_suffix(".partial")
        with open(partial, "wb") as out:
            out.writelines(text + b"\n" for text in SIZES[size]())
        partial.rename(file)
    return file


def line(flight):
    return f"{flight['origin']}\t{json.dumps(flight, separators=(',', ':'))}".encode()


SIZES = {"20k": lines_20k, "3m": lines_3m}


def main():
    if sys.argv[1:] == ["--fetch"]:
        fetched()
        return
    size = {(): "20k", ("--all",): "3m"}.get(tuple(sys.argv[1:]))
    if size is None:
        sys.exit(__doc__.strip())
    try:
        for text in SIZES[size]():
            sys.stdout.buffer.write(text + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The reader has seen enough (`flights.py | head`); without this, Python complains again on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
