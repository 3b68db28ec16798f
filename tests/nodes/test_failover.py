"""The database changes its machine under load, or stands behind a pooler: nothing that was acknowledged is lost."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest

from tests import postgres
from tests.nodes.farm import a_farm
from tests.nodes.load import check, doubled, loaded

pytestmark = pytest.mark.xdist_group("nodes")


def test_after_a_fail_over_to_a_synchronous_standby_everything_acknowledged_is_there(tmp_path: Path) -> None:
    pair = postgres.Pair()
    with a_farm(tmp_path, pair, 2) as farm:
        urls = [f"http://127.0.0.1:{node.port}" for node in farm.nodes]
        with loaded(urls, farm.mail) as journal:
            time.sleep(3)
            acknowledged = len(journal.accounts)
            killed = time.monotonic()
            pair.primary.kill()
            time.sleep(1)
            pair.standby.promote()
            promoted = time.monotonic()
            deadline = promoted + 45
            while not [at for at, _ in journal.answers if at > promoted] and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(4)

        first = min(at for at, _ in journal.answers if at > promoted)
        after = [failure for failure in journal.failures if failure.at > first + 5]
        record = {
            "accounts before": acknowledged,
            "answers": len(journal.answers),
            "failures": len(journal.failures),
            "promoted after": round(promoted - killed, 2),
            "answers again after": round(first - killed, 2),
        }
        print(record)
        assert acknowledged >= 3
        assert {failure.what for failure in journal.failures} <= {"503"}, "an outage is said as one"
        assert not after, "and it ends"
        assert first - promoted < 15
        assert len(journal.accounts) > acknowledged
        check(journal, urls[0], farm.mail, patience=75, in_doubt=8)
        assert all(node.process.poll() is None for node in farm.nodes)
    pair.remove()


def test_through_pgbouncer_in_transaction_mode_flows_share_a_few_connections(tmp_path: Path) -> None:
    cluster = postgres.cluster()
    pooler = postgres.Pooler(cluster)
    with a_farm(tmp_path, pooler, 2, GENKAN_DATABASE_PREPARES="false") as farm:
        urls = [f"http://127.0.0.1:{node.port}" for node in farm.nodes]
        with loaded(urls, farm.mail) as journal:
            time.sleep(5)
            with psycopg.connect(cluster.url()) as connection:
                [[backends]] = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (farm.database,)
                ).fetchall()

        assert backends <= pooler.SIZE
        assert journal.failures == []
        assert journal.flows >= 5
        assert doubled(farm.mail) == []
        check(journal, urls[1], farm.mail)
    pooler.remove()
