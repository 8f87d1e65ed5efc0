"""What a connection carries: bodies that are long, slow or cut off."""

from contextlib import suppress

import pytest

from tests.service.raw import BODY, CHUNKED, LENGTH, answers, post, until_closed


def test_a_body_of_unknown_length_is_refused_once_it_is_too_large(service):
    with service.connect() as connection:
        connection.sendall(post(b"", CHUNKED))
        with suppress(OSError):  # it closed on us: its answer may be lost on the way
            for _ in range(400):
                connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        answer = until_closed(connection)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
    assert service.client.get("/health").status_code == 200


@pytest.mark.parametrize("length", [len(BODY), 5_000_000], ids=["small", "large"])
def test_a_body_that_does_not_come_is_given_up(service, length):
    with service.connect() as connection:
        connection.sendall(post(BODY[:10], f"Content-Length: {length}"))
        answer = until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not come within 1.5 s" in answer


def test_a_body_that_comes_byte_by_byte_is_answered(service):
    with service.connect() as connection:
        connection.sendall(post(b"", LENGTH))
        for at in range(len(BODY)):
            connection.sendall(BODY[at : at + 1])
        assert answers(connection, 1)[0][0] == 200


def test_a_client_that_goes_away_within_its_body_is_no_error_of_the_service(service):
    with service.connect() as connection:
        connection.sendall(post(BODY[:10], LENGTH, "X-Request-ID: gone-away"))
    assert service.line_of("gone-away")["status"] == 400
