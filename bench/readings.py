"""What the performance tools print, and the figures in it. Every function raises Unreadable where a tool's result is missing or short."""

import re

END_CHARACTERS = 300


class Unreadable(Exception):
    """A tool gave no result that could be read."""


def producer(printed, count, size):
    """Of Kafka's ProducerPerformance, its last line."""
    summary = re.findall(
        r"^(\d+) records sent, ([\d.]+) records/sec \(([\d.]+) MB/sec\), ([\d.]+) ms avg latency, .*"
        r" (\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th, (\d+) ms 99\.9th",
        printed,
        re.MULTILINE,
    )
    if not summary:
        raise Unreadable(end(printed))
    sent, rate, _, average, p50, _, p99, p999 = summary[-1]
    check_count(int(sent), count, "sent")
    return {
        **transfer(count, size, float(rate)),
        "avg_ms": float(average),
        "p50_ms": int(p50),
        "p99_ms": int(p99),
        "p999_ms": int(p999),
    }


def consumer(printed, count, size):
    """Of Kafka's ConsumerPerformance."""
    # start, end, MB consumed, MB/s, records consumed, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
    lines = [line.split(",") for line in printed.splitlines() if re.match(r"\d{4}-\d\d-\d\d ", line)]
    if not lines or len(lines[-1]) < 10:
        raise Unreadable(end(printed))
    read = int(float(lines[-1][4]))
    check_count(read, count, "read")
    return {**transfer(read, size, float(lines[-1][5])), "fetch_records_s": float(lines[-1][9])}


def end_to_end(printed, count):
    """Of Kafka's EndToEndLatency."""
    average = re.search(r"Avg latency: ([\d.]+)", printed)
    percentiles = re.search(r"50th = (\d+), 99th = (\d+), 99.9th = (\d+)", printed)
    if not average or not percentiles:
        raise Unreadable(end(printed))
    p50, p99, p999 = (int(value) for value in percentiles.groups())
    return {"records": count, "avg_ms": float(average[1]), "p50_ms": p50, "p99_ms": p99, "p999_ms": p999}


def librdkafka_producer(printed, count, size):
    """Of `rdkafka_performance -P`, its last line. The rate is of records that were acknowledged."""
    summary = re.findall(
        r"^% \d+ messages produced \(\d+ bytes\), (\d+) delivered \(offset -?\d+, (\d+) failed\) in \d+ms: (\d+) msgs/s and ([\d.]+) MB/s",
        printed,
        re.MULTILINE,
    )
    if not summary:
        raise Unreadable(end(printed))
    delivered, failed, rate, _ = summary[-1]
    if int(failed) > 0:
        raise Unreadable(f"{failed} records were not delivered")
    check_count(int(delivered), count, "delivered")
    return transfer(count, size, float(rate))


def librdkafka_consumer(printed, count, size):
    """Of `rdkafka_performance -C`. It may stop a little after the count: records come in batches."""
    summary = re.findall(
        r"^% (\d+) messages \((\d+) bytes\) consumed in \d+ms: (\d+) msgs/s \(([\d.]+) MB/s\)", printed, re.MULTILINE
    )
    if not summary:
        raise Unreadable(end(printed))
    read, read_bytes, rate, _ = summary[-1]
    check_count(int(read), count, "read")
    if int(read_bytes) != int(read) * size:
        raise Unreadable(f"{read} records had {read_bytes} bytes, {size} each were written")
    return transfer(int(read), size, float(rate))


def transfer(records, size, rate):
    return {"records": records, "bytes": records * size, "records_s": rate, "mb_s": rate * size / 1e6}


def check_count(found, wanted, done):
    if found < wanted:
        raise Unreadable(f"{found} of {wanted} records were {done}")


def end(printed):
    return " ".join(printed[-END_CHARACTERS:].split()) or "it printed nothing"
