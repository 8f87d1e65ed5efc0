"""nginx with the project's own configuration, in a folder of its own, in front of services that run."""

import secrets
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT
from tests.serving import free_port, wait_until_it_answers

CONFIGURATION = (ROOT / "deploy/nginx/obesity-classifier.conf").read_text()
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin")
PAGE = "obesity-page.example.org"
OPENSSL = shutil.which("openssl")

needs_nginx = pytest.mark.skipif(
    not (NGINX and OPENSSL), reason="nginx or openssl is not on this machine: apt-get install nginx-light openssl"
)

# What a machine's own /etc/nginx/nginx.conf has around conf.d/.
_AROUND = """
daemon off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    include {folder}/obesity-classifier.conf;
}}
"""


@dataclass
class Ingress:
    """An nginx that runs, the tokens of its clients, and the password of the one person who may see the page."""

    port: int
    folder: Path
    tokens: Sequence[str]
    password: str
    trust: ssl.SSLContext

    def client(self, token: str | None = None) -> httpx.Client:
        """A client with a token, the first one if it is not said which; with the token "" it has none."""
        token = self.tokens[0] if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"https://localhost:{self.port}"
        return httpx.Client(base_url=url, headers=headers, verify=self.trust, timeout=60, trust_env=False)

    def browser(self, password: str | None = None) -> httpx.Client:
        """A client that asks for the page with a person's password, the right one if it is not said which."""
        client = self.client("")
        client.headers["Host"] = PAGE
        client.auth = ("person", self.password if password is None else password)
        return client

    def connect(self) -> ssl.SSLSocket:
        """A connection, byte by byte."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        return self.trust.wrap_socket(connection, server_hostname="localhost")


def rewritten(configuration: str, folder: Path, port: int, upstream: Sequence[int]) -> str:
    """The configuration with ports and folders of a test; nothing else of it is changed."""
    changes = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        **{f"server 127.0.0.1:{8001 + at} ": f"server 127.0.0.1:{one} " for at, one in enumerate(upstream)},
        " /etc/nginx/obesity-classifier/": f" {folder}/",
        " /var/log/nginx/": f" {folder}/",
        " /run/obesity-classifier;": f" {folder}/run;",
    }
    for old, new in changes.items():
        assert old in configuration, f"there is no {old!r} to be rewritten"
        configuration = configuration.replace(old, new)
    return configuration


@contextmanager
def ingress(
    folder: Path, upstream: Sequence[int], clients: int = 1, configuration: str = CONFIGURATION
) -> Iterator[Ingress]:
    """nginx in front of the ports `upstream`, with a certificate and tokens that are made here.

    The first two ports are the champion's, two more the challenger's.
    """
    folder.mkdir()
    certificate = folder / "certificate.pem"
    subprocess.run(
        [OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "key.pem", "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    tokens = [secrets.token_hex(32) for _ in range(clients)]
    (folder / "tokens.map").write_text("".join(f'"Bearer {token}" client-{at};\n' for at, token in enumerate(tokens)))
    password = secrets.token_hex(16)
    hashed = subprocess.run([OPENSSL, "passwd", "-apr1", password], check=True, capture_output=True, text=True).stdout
    (folder / "people.htpasswd").write_text(f"person:{hashed}")
    port = free_port()
    (folder / "obesity-classifier.conf").write_text(rewritten(configuration, folder, port, upstream))
    (folder / "nginx.conf").write_text(_AROUND.format(folder=folder))
    command = [NGINX, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        running = Ingress(port, folder, tokens, password, ssl.create_default_context(cafile=certificate))
        with running.client("") as client:
            wait_until_it_answers(client, "/", process, folder / "error.log")
        yield running
    finally:
        process.terminate()
        process.wait(timeout=60)
