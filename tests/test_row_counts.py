import json
from collections import Counter

import pyarrow as pa
import pytest
from store_rows import STAMP

from landmark_spark.commits import Commit
from landmark_spark.partition_writer import PartitionWriter
from landmark_spark.row_counts import OTHERS, RowCounts
from landmark_spark.schemas import IMAGES
from landmark_spark.store import Store, arrow_schema


def counted(pairs, columns=("status", "host")):
    counts = RowCounts(columns)
    for start in range(0, len(pairs), 700):
        part = pairs[start : start + 700]
        counts.add(pa.table({name: [pair[k] for pair in part] for k, name in enumerate(columns)}))
    return counts.nested()


def test_rows_are_counted_by_the_first_column_then_the_second():
    pairs = [("ok", "example.org")] * 12 + [("http_404", "example.org"), ("ok", "other.org")]
    assert counted(pairs) == {"ok": {"example.org": 12, "other.org": 1}, "http_404": {"example.org": 1}}
    assert counted([("ok",), ("ok",), ("dns",)], ("status",)) == {"ok": 2, "dns": 1}


def test_nothing_is_counted_where_no_column_is_named():
    counts = RowCounts(())
    counts.add(pa.table({"status": ["ok"]}))
    assert counts.nested() == {}


def test_past_a_thousand_entries_the_smallest_are_summed_up_within_their_status():
    pairs = [("ok", f"host{k}") for k in range(990) for _ in range(3)]
    pairs += [("dns", f"gone{k}") for k in range(200)] + [("ok", f"rare{k}") for k in range(50)]
    nested = counted(pairs)
    assert {status: sum(hosts.values()) for status, hosts in nested.items()} == {"ok": 990 * 3 + 50, "dns": 200}
    assert sum(map(len, nested.values())) == 1000
    assert {nested["ok"][f"host{k}"] for k in range(990)} == {3}
    # 1,000 entries less one OTHERS for each of the two statuses leave 8 of the single rows, the first by name.
    assert sorted(name for name in nested["dns"]) == sorted([OTHERS, *sorted(f"gone{k}" for k in range(200))[:8]])
    assert nested["dns"][OTHERS] == 192
    assert nested["ok"][OTHERS] == 50


def test_one_column_of_too_many_values_is_summed_up_too():
    nested = counted([(f"v{k}",) for k in range(1500)] + [("v0",)], ("status",))
    assert len(nested) == 1000
    assert nested["v0"] == 2
    assert nested[OTHERS] == 501
    assert sum(nested.values()) == 1501


def test_a_thousand_entries_are_all_kept():
    nested = counted([("ok", f"host{k}") for k in range(1000)])
    assert len(nested["ok"]) == 1000
    assert OTHERS not in nested["ok"]


def image(number, status, host):
    values = {each.name: None if each.nullable else 0 for each in IMAGES.schema}
    texts = {each.name: "" for each in IMAGES.schema if each.type == pa.string()}
    return values | texts | {"id": f"i{number}", "split": "test", "status": status, "host": host, "shard": 0}


def test_the_commit_and_the_notes_of_images_say_statuses_and_hosts(tmp_path, monkeypatch):
    monkeypatch.setattr("landmark_spark.partition_writer._SECONDS_A_NOTE", 0)
    pairs = [("ok", "example.org")] * 12 + [("http_404", "example.org")]
    values = [image(number, *pair) for number, pair in enumerate(pairs)]
    store = Store(str(tmp_path))
    seen = []

    def batches():
        for part in (values[:5], values[5:]):
            yield pa.RecordBatch.from_pylist(part, schema=arrow_schema(IMAGES))
            seen.append(store.notes(IMAGES)[0].counts)

    list(PartitionWriter(store.url, IMAGES, {0: STAMP}, {})(batches()))
    whole = {"ok": {"example.org": 12}, "http_404": {"example.org": 1}}
    assert seen == [{"ok": {"example.org": 5}}, whole]
    assert store.commits(IMAGES)[0].counts == whole


def test_a_commit_from_before_there_were_counts_is_read_with_none():
    commit = Commit("images", 4, 9, "ab", (), STAMP, counts={"ok": {"h": 9}})
    values = json.loads(commit.to_json())
    assert Commit.from_json(commit.to_json()).counts == {"ok": {"h": 9}}
    del values["counts"]
    assert Commit.from_json(json.dumps(values)).counts == {}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_the_rows_does_not_matter(seed):
    import random

    pairs = [("ok", f"host{k % 1300}") for k in range(3000)]
    shuffled = random.Random(seed).sample(pairs, len(pairs))
    assert counted(shuffled) == counted(pairs)
    assert Counter(counted(pairs)["ok"]).total() == 3000
