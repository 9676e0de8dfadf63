"""Prometheus' text format, compared with prometheus-client's reader."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from enforcer.counters import Histogram
from enforcer.exposition import family, labels


@given(st.text(), st.text())
def test_any_label_value_is_read_back(first: str, second: str) -> None:
    """A rule may be called anything."""
    text = "".join(family("a_total", "counter", "Some text.", [(labels(one=first, two=second), 7)]))
    (metric,) = text_string_to_metric_families(text)
    (sample,) = metric.samples
    assert (metric.documentation, metric.type) == ("Some text.", "counter")
    assert (sample.name, sample.labels, sample.value) == ("a_total", {"one": first, "two": second}, 7.0)


def test_a_histogram_has_cumulative_buckets_count_and_sum() -> None:
    """With and without labels, as one piece: its numbers belong together."""
    histogram = Histogram([0.1, 0.25])
    for seconds in (0.05, 0.2, 0.2, 1.0):
        histogram.observe(seconds)
    for label_set, expected in ((labels(), {}), (labels(route="a b"), {"route": "a b"})):
        head, piece = family("a_seconds", "histogram", "Some text.", [(label_set, histogram)])
        (metric,) = text_string_to_metric_families(head + piece)
        values = {(sample.name, sample.labels.get("le")): sample.value for sample in metric.samples}
        assert values == {
            ("a_seconds_bucket", "0.1"): 1.0,
            ("a_seconds_bucket", "0.25"): 3.0,
            ("a_seconds_bucket", "+Inf"): 4.0,
            ("a_seconds_count", None): 4.0,
            ("a_seconds_sum", None): 1.45,
        }
        assert all({**sample.labels, "le": ""} == {**expected, "le": ""} for sample in metric.samples)
