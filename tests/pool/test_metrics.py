# SPDX-License-Identifier: MIT
"""Metrics, as Prometheus scrapes them and as OpenTelemetry reads them."""

from __future__ import annotations

import urllib.request
import weakref

import pytest
from conftest import wait_until

import tpool
from tpool import metrics

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def prometheus():
    return pytest.importorskip("prometheus_client")


@pytest.fixture(scope="module")
def endpoint(prometheus):
    """Serve the metrics of a dict of sources; return both, its address first."""
    sources, registry = {}, prometheus.CollectorRegistry()
    registry.register(metrics.PrometheusCollector(sources))
    server, thread = prometheus.start_http_server(0, "127.0.0.1", registry)
    yield f"http://127.0.0.1:{server.server_port}/metrics", sources
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def scraped(endpoint):
    """Return a function that scrapes sources: samples by name and labels."""
    from prometheus_client.parser import text_string_to_metric_families

    address, sources = endpoint

    def scrape(**more):
        sources.update(more)
        with urllib.request.urlopen(address, timeout=30) as answer:
            text = answer.read().decode()
        return {
            key(sample.name, **sample.labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    yield scrape
    sources.clear()


def key(name, /, **labels):
    return (name, *sorted(labels.items()))


def test_what_is_scraped_is_what_stats_say(ctx, single, gate, scraped):
    for _ in range(100):
        single.submit(int).result()
    blocker, queued = single.submit(gate.wait), single.submit(int)
    assert single.submit(int).cancel()
    wait_until(blocker.running)
    found = scraped(main=ctx, db=single)
    stats, workers = ctx.stats(), single.stats()
    pool = "tpool_thread_pool_"
    for name, labels, expected in (
        (f"{pool}thread_count", {"state": "idle"}, 0),
        (f"{pool}thread_count", {"state": "running"}, 1),
        (f"{pool}queue_length", {}, 1),
        (f"{pool}work_item_submitted_total", {}, 103),
        (f"{pool}work_item_count_total", {"state": "completed"}, 100),
        (f"{pool}work_item_count_total", {"state": "cancelled"}, 1),
        (f"{pool}queue_duration_seconds_sum", {}, workers.wait_ns / 1e9),
        (f"{pool}queue_duration_seconds_count", {}, 100),
        (f"{pool}queue_duration_seconds_bucket", {"le": "+Inf"}, 100),
        (
            f"{pool}work_item_duration_seconds_bucket",
            {"le": "8e-06"},
            sum(workers.run_counts[:4]),
        ),
        (f"{pool}time_seconds_total", {"state": "working"}, workers.run_ns / 1e9),
        (f"{pool}time_seconds_total", {"state": "polled"}, workers.polled_ns / 1e9),
    ):
        assert found[key(name, name="db", **labels)] == pytest.approx(expected), name
    owner = "tpool_eventloop_time_seconds_total"
    for state, expected in (
        ("polled", stats.polled_ns),
        ("blocked", stats.blocked_ns),
    ):
        said = found[key(owner, name="main", state=state)]
        assert said == pytest.approx(expected / 1e9)
    working = found[key(owner, name="main", state="working")]
    assert 0 < working <= stats.worked_ns / 1e9
    assert key(owner, name="db", state="polled") not in found
    gate.set()
    assert queued.result() == 0


def test_buckets_are_cumulative_and_begin_at_a_microsecond(ctx, pool, scraped):
    for _ in range(50):
        pool.submit(int).result()
    name = "tpool_thread_pool_work_item_duration_seconds_bucket"
    buckets = sorted(
        (float(labels["le"]), value)
        for (sample, *pairs), value in scraped(db=pool).items()
        if sample == name
        for labels in [dict(pairs)]
    )
    bounds, values = zip(*buckets, strict=True)
    assert bounds[:4] == pytest.approx([1e-6, 2e-6, 4e-6, 8e-6])
    assert bounds[-1] == float("inf")
    assert list(values) == sorted(values)
    assert values[-1] == 50


def test_sources_may_change_while_they_are_scraped(ctx, prometheus):
    class Sources(weakref.WeakValueDictionary):
        def items(self):
            for item in super().items():
                self["late"] = ctx  # as another thread does
                yield item

    sources = Sources(first=ctx, second=ctx)
    (family,) = (
        family
        for family in metrics.PrometheusCollector(sources).collect()
        if family.name == "tpool_eventloop_time_seconds"
    )
    names = {sample.labels["name"] for sample in family.samples}
    assert {"first", "second"} <= names


def test_loops_and_iothreads_have_both_and_what_is_closed_is_left_out(scraped):
    loop, io = tpool.new_event_loop(), tpool.IOThread()
    name = "tpool_eventloop_time_seconds_total"
    pool = "tpool_thread_pool_queue_length"
    found = scraped(loop=loop, io=io)
    for source in ("loop", "io"):
        assert key(name, name=source, state="working") in found
        assert key(pool, name=source) in found
    io.stop()
    io.join()
    loop.close()
    found = scraped()
    for source in ("loop", "io"):
        assert key(name, name=source, state="working") not in found


def test_sources_may_be_weak(prometheus):
    sources = weakref.WeakValueDictionary()
    registry = prometheus.CollectorRegistry()
    registry.register(metrics.PrometheusCollector(sources))
    ctx = sources["main"] = tpool.AioContext()
    labels = {"name": "main", "state": "working"}
    name = "tpool_eventloop_time_seconds_total"
    assert registry.get_sample_value(name, labels) > 0
    del ctx
    assert registry.get_sample_value(name, labels) is None


def test_open_telemetry_reads_the_same_without_the_buckets(ctx, pool):
    MeterProvider = pytest.importorskip("opentelemetry.sdk.metrics").MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    for _ in range(20):
        pool.submit(int).result()
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    metrics.make_instruments({"main": ctx, "db": pool}, provider.get_meter("tpool"))
    found, monotonic = {}, {}
    for resource in reader.get_metrics_data().resource_metrics:
        for metric in resource.scope_metrics[0].metrics:
            monotonic[metric.name] = (metric.data.is_monotonic, metric.unit)
            for point in metric.data.data_points:
                found[key(metric.name, **point.attributes)] = point.value
    provider.shutdown()
    stats = pool.stats()
    pool_of = "tpool.thread_pool."
    assert found[key(f"{pool_of}work_item.count", name="db", state="completed")] == 20
    assert found[key(f"{pool_of}work_item.submitted", name="db")] == 20
    duration = found[key(f"{pool_of}work_item.duration", name="db")]
    assert duration == pytest.approx(stats.run_ns / 1e9)
    assert found[key("tpool.eventloop.time", name="main", state="working")] > 0
    assert monotonic["tpool.eventloop.time"] == (True, "s")
    assert monotonic[f"{pool_of}queue.length"] == (False, "{work_item}")


def test_executors_are_shown_as_pools_are(scraped):
    with tpool.ThreadPoolExecutor(2) as executor:
        for number in range(20):
            executor.submit(abs, number)
    found, stats = scraped(mine=executor), executor.stats()  # all have ended
    of = "tpool_thread_pool_"
    assert (
        found[key(f"{of}work_item_count_total", name="mine", state="completed")] == 20
    )
    assert found[key(f"{of}queue_length", name="mine")] == 0
    duration = key(f"{of}work_item_duration_seconds_count", name="mine")
    assert found[duration] == sum(stats.run_counts) == 20
