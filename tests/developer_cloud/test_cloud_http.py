"""Bad servers, bad lines, wrong addresses: what is tried again, what is given up, and how long it takes."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest
import requests
import responses
from cloud_faults import Fault, status
from cloud_timing import FAST

from stm32pose.benchmark.developer_cloud.addresses import Addresses
from stm32pose.benchmark.developer_cloud.client import connect
from stm32pose.benchmark.developer_cloud.errors import (
    ConnectionLost,
    RateLimited,
    Refused,
    RouteNotFound,
    ServerBroken,
    TlsFailed,
    VersionNotFound,
)
from stm32pose.benchmark.developer_cloud.http import Call, Http
from stm32pose.benchmark.developer_cloud.redaction import Redactor
from stm32pose.benchmark.developer_cloud.retries import retry_after
from stm32pose.errors import ConfigError, UserError

ADDRESS = "https://cloud.example/boards"


@pytest.fixture
def http():
    one = Http(FAST, Redactor())
    yield one
    one.close()


@pytest.mark.parametrize(
    "fault",
    [
        status(500),
        status(502),
        status(503),
        status(504),
        status(429),
        Fault("drop"),
        Fault("drop_late"),
        Fault("cut_answer"),
        Fault("garbage"),
        Fault("page"),
    ],
)
def test_twice_bad_then_fine(developer_cloud, log_in, fault):
    client = log_in()
    developer_cloud.faults.add("boards", fault, fault)
    assert client.boards()["STM32H747I-DISCO"].count == 4
    assert developer_cloud.requests["boards"] == 3


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (status(500), ServerBroken, r"list of boards: the server fails \(HTTP 500\): fault 500"),
        (status(429), RateLimited, r"too many requests \(HTTP 429\): fault 429"),
        (Fault("drop"), ConnectionLost, r"the connection to 127\.0\.0\.1 dropped"),
        (Fault("hang", seconds=1.5), ConnectionLost, "did not answer in time"),
        (Fault("garbage"), ServerBroken, "not JSON: <<< not JSON {"),
        (Fault("page"), ServerBroken, "not JSON: Maintenance: Back soon"),
        (Fault("body", body=[1]), ServerBroken, "answers list, not an object"),
        (Fault("body", body={"B": 3}), ServerBroken, "list of boards: B' is '3', not an object"),
        (status(404), RouteNotFound, r"/api/benchmark/boards is not there \(HTTP 404\): fault 404"),
        (status(403), Refused, "HTTP 403: fault 403"),
    ],
)  # fmt: skip
def test_what_stays_bad_is_told_in_the_servers_words(developer_cloud, log_in, fault, error, words):
    client = log_in()
    developer_cloud.faults.add("boards", *[fault] * 20)
    with pytest.raises(error, match=words):
        client.boards()
    tries = developer_cloud.requests["boards"]
    assert tries == (1 if fault.kind == "body" or fault.status in (404, 403) else FAST.attempts)


def test_retry_after_is_obeyed_and_capped(developer_cloud, log_in):
    client = log_in()
    developer_cloud.faults.add("boards", status(429, Retry_After="3600"))
    started = time.monotonic()
    client.boards()
    assert FAST.longest_retry_after_s <= time.monotonic() - started < 2.0


def test_retry_after_forms():
    assert retry_after({}) is None
    assert retry_after({"Retry-After": "7"}) == 7.0
    assert retry_after({"Retry-After": "soon"}) is None
    assert retry_after({"Retry-After": "-5"}) is None
    # The server's clock is an hour behind ours, so ours would not wait at all.
    ago = time.time() - 3600
    headers = {"Retry-After": formatdate(ago + 30, usegmt=True), "Date": formatdate(ago, usegmt=True)}
    assert retry_after(headers) == pytest.approx(30.0)


def test_back_off_doubles_and_stops_at_its_longest(developer_cloud, http, monkeypatch):
    waits = []
    monkeypatch.setattr("stm32pose.benchmark.developer_cloud.retries.time.sleep", waits.append)
    developer_cloud.faults.add("versions", *[status(500)] * 9)
    http.timing = replace(FAST, first_wait_s=1.0, longest_wait_s=10.0, attempts=7)
    with pytest.raises(ServerBroken):
        http.send(Call("GET", f"{developer_cloud.url}/assets/versions.json", "versions"))
    assert len(waits) == 6
    for number, wait in enumerate(waits):
        assert min(10.0, 2**number) <= wait <= min(10.0, 2 ** (number + 1))


def test_dripping_answer_ends_at_its_limit(developer_cloud, http):
    developer_cloud.faults.add("versions", Fault("drip", seconds=8.0))
    http.timing = replace(FAST, answer_s=0.5, attempts=1)
    started = time.monotonic()
    with pytest.raises(ConnectionLost, match="takes too long"):
        http.send(Call("GET", f"{developer_cloud.url}/assets/versions.json", "versions"))
    assert time.monotonic() - started < 2.0


def test_refused_connection_and_unknown_host(http):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with pytest.raises(ConnectionLost, match="connection refused"):
        http.send(Call("POST", f"http://127.0.0.1:{port}/x", "test", repeat="unserved"))
    http.timing = replace(FAST, attempts=1)
    with pytest.raises(ConnectionLost, match="name is not known"):
        http.send(Call("GET", "https://no-such-host.invalid/x", "test"))


@responses.activate
def test_untrusted_certificate(http):
    error = requests.exceptions.SSLError(
        "HTTPSConnectionPool(host='cloud.example', port=443): Max retries exceeded with url: /boards (Caused by "
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate in chain')))"
    )
    responses.get(ADDRESS, body=error)
    with pytest.raises(TlsFailed, match=r"cloud\.example.*self-signed certificate.*STM32POSE_CA_BUNDLE"):
        http.send(Call("GET", ADDRESS, "test"))
    assert len(responses.calls) == 1, "a certificate does not get better"


def test_real_self_signed_certificate(http, monkeypatch, tmp_path):
    bundle = self_signed(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    call = Call("GET", f"https://127.0.0.1:{server.server_address[1]}/absent", "test")
    try:
        monkeypatch.setenv("NO_SSL_VERIFY", "1")
        with pytest.raises(TlsFailed, match="CERTIFICATE_VERIFY_FAILED"):
            http.send(call)
        monkeypatch.setenv("STM32POSE_CA_BUNDLE", str(bundle))
        trusting = Http(FAST, Redactor())
        assert trusting.send(call).status == 404, "with the CA it is asked"
        trusting.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def self_signed(folder):
    """Key and certificate of 127.0.0.1 in one file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(private + certificate.public_bytes(pem))
    return path


@responses.activate
def test_tls_line_that_drops_is_tried_again(http):
    responses.get(ADDRESS, body=requests.exceptions.SSLError("EOF occurred in violation of protocol"))
    responses.get(ADDRESS, json={})
    assert http.send(Call("GET", ADDRESS, "test")).status == 200


@responses.activate
@pytest.mark.parametrize(
    ("text", "words", "tries"),
    [("Cannot connect to proxy.", "does not let us through", 4), ("Tunnel connection failed: 407", "wants a login", 1)],
)
def test_proxy_errors(http, text, words, tries):
    responses.get(ADDRESS, body=requests.exceptions.ProxyError(text))
    with pytest.raises(ConnectionLost, match=words):
        http.send(Call("GET", ADDRESS, "test"))
    assert len(responses.calls) == tries


def test_proxy_of_the_environment_is_used(developer_cloud, http, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", developer_cloud.url.replace("http://", "http://me:secret@"))
    reply = http.send(Call("GET", "http://cloud.invalid/anything", "test"))
    assert reply.status == 404, "the in-suite server was asked in the place of cloud.invalid"
    assert any("cloud.invalid" in complaint for complaint in developer_cloud.complaints)
    monkeypatch.setenv("no_proxy", "cloud.invalid")
    http.timing = replace(FAST, attempts=1)
    with pytest.raises(ConnectionLost, match="name is not known"):
        http.send(Call("GET", "http://cloud.invalid/anything", "test"))


def test_netrc_does_not_take_the_place_of_the_token(developer_cloud, log_in, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert log_in().boards()
    assert developer_cloud.requests["boards"] == 1


def test_ca_bundle(monkeypatch, tmp_path):
    monkeypatch.setenv("STM32POSE_CA_BUNDLE", str(tmp_path / "absent.pem"))
    with pytest.raises(UserError, match="STM32POSE_CA_BUNDLE: no file"):
        Http(FAST, Redactor())
    (tmp_path / "ours.pem").write_text("")
    (tmp_path / "theirs.pem").write_text("")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "theirs.pem"))
    monkeypatch.setenv("STM32POSE_CA_BUNDLE", str(tmp_path / "ours.pem"))
    with responses.RequestsMock() as mock:
        mock.get(ADDRESS, json={})
        Http(FAST, Redactor()).send(Call("GET", ADDRESS, "test"))
        assert mock.calls[0].request.req_kwargs["verify"] == str(tmp_path / "ours.pem")


def test_certificates_are_always_checked(monkeypatch, caplog):
    monkeypatch.setenv("NO_SSL_VERIFY", "1")
    with responses.RequestsMock() as mock:
        mock.get(ADDRESS, json={})
        Http(FAST, Redactor()).send(Call("GET", ADDRESS, "test"))
        assert mock.calls[0].request.req_kwargs["verify"] is True
    assert "NO_SSL_VERIFY is set and ignored" in caplog.text


@responses.activate
def test_redirects_keep_the_token_at_home(http):
    responses.get(ADDRESS, status=302, headers={"Location": "https://storage.example/file"})
    responses.get("https://storage.example/file", json={"ok": 1})
    reply = http.send(Call("GET", ADDRESS, "test", bearer="the-token", follow=True))
    assert reply.json() == {"ok": 1}
    assert responses.calls[0].request.headers["Authorization"] == "Bearer the-token"
    assert "Authorization" not in responses.calls[1].request.headers
    responses.get("https://cloud.example/down", status=302, headers={"Location": "http://storage.example/file"})
    with pytest.raises(ServerBroken, match="not https"):
        http.send(Call("GET", "https://cloud.example/down", "test", follow=True))


def test_addresses_of_the_environment():
    usual = Addresses.from_environment({})
    assert usual == Addresses()
    assert usual.benchmark == "https://stedgeai-dc.st.com/api/benchmark"
    moved = Addresses.from_environment(
        {
            "BASE_URL_DEVCLOUD": "https://qa.example//",
            "FILE_SERVICE_URL": "https://files.example/a//b/",
            "CLIENTID": "me",
            "SSO_HOSTS": "cas.example, other.example",
        }
    )
    assert (moved.base, moved.host) == ("https://qa.example", "qa.example")
    assert moved.callback == "https://qa.example/callback"
    assert moved.stm32ai == "https://qa.example/api/{version}/stm32ai"
    assert (moved.files, moved.client_id) == ("https://files.example/a/b", "me")
    assert moved.trusts("https://cas.example/login")
    assert not moved.trusts("http://cas.example/login")
    assert not moved.trusts("https://stranger.example/login")


@pytest.mark.parametrize(
    "value",
    ["http://cloud.example", "cloud.example", "https://", "https://me:word@x.example", "https://x.example/?a=b"],
)
def test_wrong_addresses(value):
    with pytest.raises(ConfigError, match="environment variable SSO_URL"):
        Addresses.from_environment({"SSO_URL": value})


def test_trust_of_sts_own_hosts():
    usual = Addresses()
    assert usual.trusts("https://my.st.com/cas/login")
    assert not usual.trusts("https://my.st.com.stranger.example/cas/login")
    assert not usual.trusts("https://notst.com/")


def test_versions(developer_cloud, log_in):
    client = log_in()
    assert client.version() == "3.0.0"
    assert client.version("2.2.0") == "2.2.0"
    assert client.version("2.2") == "2.2.0"
    with pytest.raises(VersionNotFound, match=r"got '10\.2\.0'.*2\.2\.0 \(STM32: 10\.2\.0\), 3\.0\.0"):
        client.version("10.2.0")
    assert developer_cloud.requests["versions"] == 1


@pytest.mark.parametrize("body", [{}, [], [{"isLatest": True}], [{"version": "../../x"}], None])
def test_garbled_versions(developer_cloud, log_in, body):
    client = log_in()
    developer_cloud.faults.add("versions", Fault("body", body=body))
    with pytest.raises(ServerBroken, match="list of versions"):
        client.version()


def test_nothing_stays_open_after_close(developer_cloud, log_in):
    import psutil

    process = psutil.Process()
    port = int(developer_cloud.url.rpartition(":")[2])

    def connections():
        return [one for one in process.net_connections() if one.raddr and one.raddr.port == port]

    client = log_in()
    client.boards()
    assert connections()
    client.close()
    assert not connections()


def test_failed_connect_leaves_nothing_open(developer_cloud, caplog):
    caplog.set_level(logging.INFO)
    developer_cloud.faults.add("authenticate", *[status(500)] * 9)
    with pytest.raises(ServerBroken):
        connect(ask=lambda: ("ada@example.com", "right-horse-battery"), timing=FAST)
