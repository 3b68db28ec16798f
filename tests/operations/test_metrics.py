"""What a node tells of itself: on an address of its own, truly, and nothing of anybody. Real processes."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from genkan import metrics
from genkan.model import Reason
from tests import postgres
from tests.delivery.sockets import free_port
from tests.docs.test_docs import anchors
from tests.nodes.farm import APP, TENANT, Farm, a_farm, an_address, challenged, signed_up

pytestmark = pytest.mark.xdist_group("nodes")

OPERATIONS = Path(__file__).parent.parent.parent / "docs" / "operations"
PORT = free_port()
TOKEN = "ie4Eey9aiThie2ee"


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "token").write_text(TOKEN + "\n")
    told = {"GENKAN_METRICS": f"127.0.0.1:{PORT}", "GENKAN_METRICS_TOKEN_FILE": str(folder / "token")}
    with a_farm(folder, postgres.cluster(), 1, **told) as farm:
        yield farm
        assert not farm.marks.found_in({"metrics": asked().content})  # Whatever was asked of it in this file.


def asked(path: str = "/metrics", token: str = TOKEN) -> httpx2.Response:
    return httpx2.get(f"http://127.0.0.1:{PORT}{path}", headers={"authorization": f"Bearer {token}"})


def figures() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Name and labels → value."""
    answer = asked()
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def figure(name: str, **labels: str) -> float:
    return figures().get((name, frozenset(labels.items())), 0)


@pytest.mark.proves("LOG-02")
def test_no_secret_is_counted_by_name_and_none_lies_in_the_database(farm: Farm) -> None:
    tokens = signed_up(farm, an_address(), *farm.nodes)
    farm.nodes[0].http.get("/shop/oauth2/v2.0/token/" + tokens["refresh_token"])
    assert tokens["refresh_token"] in farm.marks.tokens
    assert farm.marks.codes
    sinks = {"metrics": asked().content, **farm.sinks()}
    assert {"node-0.log", "metrics"} < sinks.keys()
    assert sum(map(len, sinks.values())) > 10_000
    assert farm.marks.found_in(sinks) == []
    planted = {**sinks, "metrics": sinks["metrics"] + tokens["refresh_token"].encode()}
    assert farm.marks.found_in(planted) == [("metrics", tokens["refresh_token"])]


def test_what_is_done_is_counted(farm: Farm) -> None:
    token_path = "/oauth2/v2.0/token"
    before = figures()
    address = an_address()
    signed_up(farm, address, *farm.nodes)
    handle = challenged(address, *farm.nodes)
    code = farm.mail.code(address, 2)
    wrong = f"{(int(code) + 1) % 10**8:08d}"
    farm.nodes[0].post(token_path, continuation_token=handle, grant_type="oob", oob=wrong, scope="openid")
    farm.nodes[0].post("/no/such/endpoint/" + address)

    def grown(name: str, **labels: str) -> float:
        return figure(name, **labels) - before.get((name, frozenset(labels.items())), 0)

    assert grown("genkan_http_requests_total", route="/signup/v1.0/start", status="200") == 1
    assert grown("genkan_http_requests_total", route=token_path, status="200") == 1
    assert grown("genkan_http_requests_total", route=token_path, status="400") == 1
    assert grown("genkan_http_requests_total", route="other", status="404") == 1
    assert grown("genkan_http_request_seconds_count", route=token_path) == 2
    assert grown("genkan_flow_steps_total", event="Resume", outcome="Ready") == 1
    assert grown("genkan_flow_steps_total", event="Prove", outcome="Refused") == 1
    assert grown("genkan_refusals_total", reason="wrong_code") == 1
    assert grown("genkan_tokens_issued_total", audience="person") == 1
    assert grown("genkan_messages_total", channel="email", provider="relay", outcome="sent") >= 2
    assert grown("genkan_store_seconds_count") >= 7
    assert grown("genkan_store_batch_size_count") >= 7
    assert grown("genkan_audit_rows") >= 7
    assert figure("genkan_outbox_overdue_seconds") < 60
    assert figure("genkan_clock_drift_seconds") < 2
    assert figure("genkan_databases_unavailable") == 0
    assert 0 < figure("genkan_signing_key_age_seconds") < 3600
    assert figure("process_resident_memory_bytes") > 10**7


def test_nothing_of_anybody_is_in_a_label_and_labels_are_few(farm: Farm) -> None:
    address = an_address()
    signed_up(farm, address, *farm.nodes)
    node = farm.nodes[0]
    for n in range(20):
        node.http.get(f"/{n}-{address}/oauth2/v2.0/token")
        node.http.get(f"/v1.0/{n}{address}", headers={"authorization": "Bearer nobody"})
        node.http.request(f"X{n}", "/shop/oauth2/v2.0/token")
    text = asked().text

    assert address not in text
    assert address.partition("@")[0] not in text
    assert not {TENANT, APP, "shop", "127.0.0.1"} & set(re.findall(r'="([^"]*)"', text))
    routes = {dict(labels)["route"] for name, labels in figures() if name == "genkan_http_requests_total"}
    assert len(routes) < 20, routes
    reasons = {dict(labels)["reason"] for name, labels in figures() if name == "genkan_refusals_total"}
    assert reasons <= {reason.value for reason in Reason}


def test_figures_are_told_on_their_own_address_alone_and_to_whoever_shows_the_token(farm: Farm) -> None:
    node = farm.nodes[0]
    public = {
        path: node.http.get(path).status_code for path in ("/metrics", "/shop/metrics", "/v1.0/metrics")
    }

    assert public == {"/metrics": 404, "/shop/metrics": 404, "/v1.0/metrics": 401}
    assert b"genkan_" not in node.http.get("/metrics").content
    assert asked(token="x").status_code == asked(token=TOKEN + "x").status_code == 401
    assert httpx2.get(f"http://127.0.0.1:{PORT}/metrics").status_code == 401
    assert asked("/healthz").status_code == asked("/shop/oauth2/v2.0/token").status_code == 404
    listening = {port for port in {node.port, PORT} if _answers("127.0.0.1", port)}
    assert listening == {node.port, PORT}
    assert not any(_answers(other, PORT) for other in _other_addresses())


def _answers(host: str, port: int) -> bool:
    with socket.socket() as tried:
        tried.settimeout(2)
        return tried.connect_ex((host, port)) == 0


def _other_addresses() -> set[str]:
    """Those of this machine that are not loopback, as far as it has any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        try:
            tried.connect(("192.0.2.1", 9))  # Nothing is sent.
        except OSError:
            return set()
        return {tried.getsockname()[0]} - {"127.0.0.1", "0.0.0.0"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"GENKAN_METRICS": "0.0.0.0:9464"}, "Anybody who reaches 0.0.0.0:9464 could read the metrics."),
        ({"GENKAN_METRICS": "10.0.0.1:9464"}, "GENKAN_METRICS_TOKEN_FILE"),
        ({"GENKAN_METRICS": "9464"}, "it may be an address and a port"),
        ({"GENKAN_METRICS": "127.0.0.1:99999"}, "it may be an address and a port"),
        (
            {"GENKAN_METRICS": "127.0.0.1:0", "GENKAN_METRICS_TOKEN_FILE": "/no/such"},
            "The token in /no/such cannot be read",
        ),
        ({"GENKAN_METRICS": "127.0.0.1:0", "GENKAN_METRICS_TOKEN_FILE": "/dev/null"}, "16 characters"),
    ],
)  # fmt: skip
def test_a_process_that_anybody_could_ask_does_not_start(
    farm: Farm, settings: dict[str, str], said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "genkan", "serve"],
        env=farm.environment(GENKAN_METRICS_TOKEN_FILE="", GENKAN_PORT="0", **settings)
        if "GENKAN_METRICS_TOKEN_FILE" not in settings
        else farm.environment(GENKAN_PORT="0", **settings),
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def known() -> set[str]:
    """The names of all samples."""
    ends = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    return {family.name + end for family in metrics.REGISTRY.collect() for end in ends[family.type]}


def test_dashboard_alerts_and_page_speak_of_metrics_that_there_are() -> None:
    alerts = yaml.safe_load((OPERATIONS / "alerts.yaml").read_text())
    dashboard = json.loads((OPERATIONS / "grafana.json").read_text())
    expressions = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    expressions += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {name for text in expressions for name in re.findall(r"\b(?:genkan|process)_\w+", text)}
    page = (OPERATIONS / "metrics.md").read_text()
    ours = {family.name for family in metrics.REGISTRY.collect() if family.name.startswith("genkan_")}

    assert used <= known()
    assert [name for name in ours if f"| `{name}" not in page] == []
    assert all(text.count("(") == text.count(")") for text in expressions)
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert [name for name in ours if name not in " ".join(shown)] == []


def test_every_alert_has_a_runbook() -> None:
    alerts = yaml.safe_load((OPERATIONS / "alerts.yaml").read_text())
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    there = anchors(OPERATIONS / "runbooks.md")

    assert len({rule["alert"] for rule in rules}) == len(rules) > 10
    for rule in rules:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (page, anchor) == ("runbooks.md", rule["alert"].lower())
        assert anchor in there
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
